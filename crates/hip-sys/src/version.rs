//! Versions of HIP.

use std::fmt;

/// A version as HIP's functions report it: `major * 10_000_000 + minor * 100_000 + patch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub i32);

impl Version {
    /// The first number.
    pub fn major(self) -> i32 {
        self.0 / 10_000_000
    }

    /// The second number.
    pub fn minor(self) -> i32 {
        self.0 / 100_000 % 100
    }

    /// The third number.
    pub fn patch(self) -> i32 {
        self.0 % 100_000
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major(), self.minor(), self.patch())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_three_numbers() {
        assert_eq!(Version(60_443_484).to_string(), "6.4.43484");
        assert_eq!(Version(50_731_921).major(), 5);
        assert!(Version(70_000_000) > Version(60_499_999));
    }
}
