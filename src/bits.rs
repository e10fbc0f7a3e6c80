//! Numbers that go through JSON without losing a bit, infinities and NaN included.

use serde::{Deserialize, Serialize};

/// An f64 as its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bits64(u64);

impl From<f64> for Bits64 {
    fn from(value: f64) -> Bits64 {
        Bits64(value.to_bits())
    }
}

impl Bits64 {
    pub fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

/// Numbers as bits.
pub fn to_bits(values: &[f64]) -> Vec<Bits64> {
    values.iter().map(|v| (*v).into()).collect()
}

/// Numbers from bits.
pub fn from_bits(values: &[Bits64]) -> Vec<f64> {
    values.iter().map(|v| v.get()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_survives_json() {
        let numbers = [0.1, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 5e-324];
        let json = serde_json::to_string(&to_bits(&numbers)).unwrap();
        let back = from_bits(&serde_json::from_str::<Vec<Bits64>>(&json).unwrap());
        assert!(numbers.iter().zip(&back).all(|(a, b)| a.to_bits() == b.to_bits()));
    }
}
