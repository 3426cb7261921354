//! A stored row and a query: finite, not zero, of unit length.

use std::sync::Arc;

use super::frame::Frame;
use crate::error::{Error, Result};
use crate::file::Mapped;
use crate::simd::{kernels, prefetch};

/// How far from 1 the length of a vector may be for it to be kept as it is: about what float32 arithmetic leaves.
const UNIT_WITHIN: f64 = 1e-6;

/// How far from 1 the length of a row that comes out of a file may be: what the bounds are proved for. More than [`UNIT_WITHIN`], since
/// the last digits of a length depend on the kernels that add it up.
const STORED_WITHIN: f64 = 2e-6;

/// A float32 row of unit length, shared by the index and whoever looks at it.
#[derive(Debug, Clone)]
pub struct Row(Kept);

/// Where a row is.
#[derive(Debug, Clone)]
enum Kept {
    Here(Arc<[f32]>),
    /// The `number`-th row of `dim` numbers in a file.
    Mapped {
        rows: Arc<Mapped>,
        number: u32,
        dim: u32,
    },
}

impl Row {
    /// `vector` brought to unit length; one that is of unit length within 1e-6 is kept bit by bit.
    ///
    /// # Errors
    /// [`Error::Cache`] when it has a NaN or an infinity, or nothing but zeros.
    pub fn unit(vector: &[f32]) -> Result<Self> {
        let length = length(vector)?;
        if is_unit(length) {
            return Ok(Self(Kept::Here(vector.into())));
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most 1")]
        Ok(Self(Kept::Here(vector.iter().map(|&x| (f64::from(x) / length) as f32).collect())))
    }

    /// The `number`-th row of `dim` numbers in a file, where it is; None if there is none of finite numbers and unit length.
    pub fn mapped(rows: &Arc<Mapped>, number: u32, dim: u32) -> Option<Self> {
        let rows = Arc::clone(rows);
        let start = number as usize * dim as usize;
        let row = rows.numbers().get(start..start + dim as usize)?;
        let is_unit = length(row).is_ok_and(|length| (length - 1.0).abs() <= STORED_WITHIN);
        is_unit.then_some(Self(Kept::Mapped { rows, number, dim }))
    }

    /// Whether it is in a file.
    pub fn is_mapped(&self) -> bool {
        matches!(self.0, Kept::Mapped { .. })
    }
}

impl Row {
    /// Announces that the row will be read.
    pub(super) fn announce(&self) {
        for line in self.as_chunks::<16>().0 {
            prefetch(line);
        }
    }
}

impl std::ops::Deref for Row {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.0 {
            Kept::Here(row) => row,
            Kept::Mapped { rows, number, dim } => {
                let dim = *dim as usize;
                &rows.numbers()[*number as usize * dim..][..dim]
            }
        }
    }
}

/// What is searched for.
#[derive(Debug, Clone)]
pub struct Query<'a> {
    vector: &'a [f32],
    length: f64,
}

impl<'a> Query<'a> {
    /// A query of any length but zero; as with rows, one of unit length within 1e-6 is taken as it is.
    ///
    /// # Errors
    /// [`Error::Cache`] when it has a NaN or an infinity, or nothing but zeros.
    pub fn new(vector: &'a [f32]) -> Result<Self> {
        let length = length(vector)?;
        Ok(Self { vector, length: if is_unit(length) { 1.0 } else { length } })
    }

    /// Numbers in it.
    pub(super) fn len(&self) -> usize {
        self.vector.len()
    }

    /// The query at unit length in a frame's coordinates.
    pub(super) fn rotate(&self, frame: &Frame, out: &mut [f32]) {
        frame.rotate(self.vector, 1.0 / self.length, out);
    }

    /// The float64 dot product of the query at unit length with a row.
    pub(super) fn score(&self, row: &[f32]) -> f64 {
        (kernels().score)(self.vector, row) / self.length
    }
}

fn is_unit(length: f64) -> bool {
    (length - 1.0).abs() <= UNIT_WITHIN
}

/// The Euclidean length, in float64: that of no finite float32 vector overflows.
fn length(vector: &[f32]) -> Result<f64> {
    let length = (kernels().score)(vector, vector).sqrt();
    if !length.is_finite() {
        let at = vector.iter().position(|x| !x.is_finite()).unwrap_or_default();
        return Err(Error::Cache(format!("number {at} of the vector is NaN or infinite; give finite numbers")));
    }
    if length == 0.0 {
        return Err(Error::Cache("the vector is all zeros and has no direction; give one that is not".to_owned()));
    }
    Ok(length)
}
