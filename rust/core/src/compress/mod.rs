//! Which messages a window keeps: pieces and terms at append ([`digest`]), their worth ([`select`]), the choice ([`fit`]).

mod ablation;
mod assemble;
mod by_message;
mod by_sentence;
mod by_value;
mod cues;
mod data;
mod density;
pub(crate) mod digest;
mod facts;
pub(crate) mod fit;
pub(crate) mod fold;
mod matching;
mod math;
mod meaning;
pub(crate) mod pieces;
mod query;
mod register;
pub(crate) mod select;
pub(crate) mod sentences;
pub(crate) mod shrunk;
mod terms;
pub(crate) mod values;
pub(crate) mod window;
pub(crate) mod words;
