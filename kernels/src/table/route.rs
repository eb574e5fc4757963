//! Rows of the family `route`.

use super::Module;

pub(super) fn rows() -> Vec<Module> {
    vec![Module::new("route/route", "route/route.hip").kernels(["route_2", "route_8", "route_16"]).hot()]
}
