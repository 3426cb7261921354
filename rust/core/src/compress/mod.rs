//! Which messages a window keeps: pieces and terms at append ([`digest`]), their worth ([`select`]), the choice ([`fit`]).

mod assemble;
mod by_message;
mod by_sentence;
mod cues;
mod density;
pub(crate) mod digest;
mod facts;
pub(crate) mod fit;
pub(crate) mod fold;
mod math;
pub(crate) mod pieces;
mod register;
pub(crate) mod select;
pub(crate) mod sentences;
mod terms;
pub(crate) mod window;
mod words;
