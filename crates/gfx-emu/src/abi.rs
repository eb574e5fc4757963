//! How kernels are called: aperture addresses.
/// Flat addresses whose high word is this one's are offsets in LDS.
pub const SHARED_APERTURE: u64 = 0x0100_0000_0000_0000;
/// Flat addresses whose high word is this one's are offsets in private memory.
pub const PRIVATE_APERTURE: u64 = 0x0200_0000_0000_0000;
