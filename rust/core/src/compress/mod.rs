//! Which messages a window keeps: words to terms at append ([`digest`]), their worth ([`select`]), the choice ([`fit`]).

mod cues;
pub(crate) mod digest;
mod facts;
pub(crate) mod fit;
pub(crate) mod select;
mod terms;
mod words;
