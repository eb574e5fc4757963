//! The shared library as a program opens it.

use fake_hip::{FakeHip, Fault, library_path};
use hip_sys::hipError_t;

#[test]
fn it_has_every_symbol() {
    let api = hip_sys::Api::open_path(library_path()).unwrap();
    for name in hip_sys::runtime_table::RuntimeFunctions::OPTIONAL {
        assert!(!api.symbol(name).is_null(), "{name}");
    }
    hip_sys::Rtc::open(&api).unwrap();
}

#[test]
fn it_can_be_steered() {
    let fake = FakeHip::open().unwrap();
    fake.set("arch", "gfx942").unwrap();
    let error = fake.set("arch", "sm_90").unwrap_err().to_string();
    assert!(error.contains("sm_90"), "{error}");
    assert_eq!(fake.last_message(), error);
    fake.add_fault(&Fault::fail(hipError_t::hipErrorOutOfMemory).call("hipMalloc").at(3).sticky().this_thread())
        .unwrap();
    fake.clear_faults();
    fake.reset();
    assert_eq!((fake.calls(), fake.call_count("hipMalloc")), (0, 0));
    assert_eq!((fake.live_allocations(), fake.live_bytes(), fake.live_handles()), (0, 0, 0));
    assert_eq!(fake.last_message(), "");
}
