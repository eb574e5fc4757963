//! A device's name on the command line.

use rocmforge_hip_backend::driver::Properties;

/// The flag's word for a HIP device.
pub fn flag(properties: &Properties) -> String {
    format!("hip:{}", properties.ordinal)
}
