//! C types as clang spells them, in Rust.

use anyhow::{Context, Result};

/// The Rust spelling of a C type; names of the API stay as they are.
pub fn rust_type(c: &str) -> Result<String> {
    let c = c.trim();
    if let Some(open) = c.find('[') {
        let close = c.find(']').context("an array without an end")?;
        // `int[2][3]` is an array of two `int[3]`.
        let element = format!("{}{}", &c[..open], &c[close + 1..]);
        return Ok(format!("[{}; {}]", rust_type(&element)?, &c[open + 1..close]));
    }
    if let Some(pointer) = without_const_at_end(c).strip_suffix('*') {
        let pointee = pointer.trim_end();
        let mutability = if is_const(pointee) { "const" } else { "mut" };
        return Ok(format!("*{mutability} {}", rust_type(pointee)?));
    }
    Ok(base(c.strip_prefix("const ").unwrap_or(c)))
}

/// The names in a C type that are no built-in ones.
pub fn named(c: &str) -> Option<String> {
    let c = c.split(['[', '*']).next().unwrap_or(c).trim();
    let name = c.strip_prefix("const ").unwrap_or(c);
    let name = base(without_const_at_end(name));
    (!BUILT_IN.iter().any(|(_, rust)| *rust == name)).then_some(name)
}

const BUILT_IN: &[(&str, &str)] = &[
    ("void", "c_void"),
    ("char", "c_char"),
    ("int", "c_int"),
    ("unsigned int", "c_uint"),
    ("unsigned", "c_uint"),
    ("signed char", "i8"),
    ("unsigned char", "u8"),
    ("short", "i16"),
    ("unsigned short", "u16"),
    ("long", "i64"),
    ("unsigned long", "u64"),
    ("float", "f32"),
    ("double", "f64"),
    ("long long", "i64"),
    ("unsigned long long", "u64"),
    ("size_t", "usize"),
    ("int32_t", "i32"),
    ("uint32_t", "u32"),
    ("int64_t", "i64"),
    ("uint64_t", "u64"),
];

fn base(c: &str) -> String {
    let c = without_const_at_end(c);
    let known = BUILT_IN.iter().find(|(name, _)| *name == c).map(|(_, rust)| (*rust).to_string());
    known.unwrap_or_else(|| c.trim_start_matches("struct ").trim_start_matches("enum ").to_string())
}

fn without_const_at_end(c: &str) -> &str {
    c.strip_suffix("const").filter(|rest| rest.ends_with(['*', ' '])).map_or(c, str::trim_end)
}

fn is_const(c: &str) -> bool {
    without_const_at_end(c).len() != c.len() || (!c.contains('*') && c.starts_with("const "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_translated() {
        let check = |c: &str, rust: &str| assert_eq!(rust_type(c).expect(c), rust);
        check("unsigned int", "c_uint");
        check("void **", "*mut *mut c_void");
        check("const void *", "*const c_void");
        check("const char **", "*mut *const c_char");
        check("const char *const *", "*const *const c_char");
        check("char[256]", "[c_char; 256]");
        check("int[2][3]", "[[c_int; 3]; 2]");
        check("struct ihipStream_t *", "*mut ihipStream_t");
        check("const hipDeviceProp_tR0600 *", "*const hipDeviceProp_tR0600");
        check("size_t", "usize");
    }

    #[test]
    fn names_are_found() {
        assert_eq!(named("const hipUUID *"), Some("hipUUID".into()));
        assert_eq!(named("hipDeviceArch_t"), Some("hipDeviceArch_t".into()));
        assert_eq!(named("const char *const *"), None);
        assert_eq!(named("int[3]"), None);
    }
}
