//! What is bound: functions with a line about each, constants that headers define as macros, and where they go.

mod cuda;
mod hip;
mod hipblas;

/// A function of a library.
pub struct Function {
    /// Its symbol.
    pub name: &'static str,
    /// The declaration that gives its type, where the headers rename the symbol itself.
    pub like: Option<&'static str>,
    /// Whether a library may lack it.
    pub optional: bool,
    /// One line of documentation.
    pub doc: &'static str,
}

const fn f(name: &'static str, doc: &'static str) -> Function {
    Function { name, like: None, optional: false, doc }
}

const fn optional(name: &'static str, doc: &'static str) -> Function {
    Function { name, like: None, optional: true, doc }
}

const fn like(name: &'static str, like: &'static str, doc: &'static str) -> Function {
    Function { name, like: Some(like), optional: false, doc }
}

/// A table of function pointers that one library fills.
pub struct Table {
    /// The Rust struct of the function pointers.
    pub functions: &'static str,
    /// The Rust type that gets a method for each function.
    pub owner: &'static str,
    /// What the methods return for an optional function that the library lacks.
    pub absent: &'static str,
    /// One line of documentation.
    pub doc: &'static str,
    /// The functions.
    pub list: &'static [Function],
}

/// A group of generated files in one crate.
pub struct Group {
    /// Name for `--only`.
    pub name: &'static str,
    /// Folder of the generated files, from the workspace's root.
    pub folder: &'static str,
    /// Headers in the order of inclusion.
    pub headers: &'static [&'static str],
    /// The library in words, and expressions for its version.
    pub library: &'static str,
    pub version: [&'static str; 3],
    /// Types that no function mentions, and are wanted.
    pub extra_types: &'static [&'static str],
    /// Structs whose layout is asserted field by field.
    pub layouts: &'static [&'static str],
    /// Macros with a value of the type `unsigned int`.
    pub constants: &'static [&'static str],
    /// Tables, each with the file that it is written to.
    pub tables: &'static [(&'static str, Table)],
    /// Types that another crate's bindings define already.
    pub foreign: &'static [&'static str],
    /// The crate of the macros that generated code calls, and of the foreign types.
    pub macros: &'static str,
}

/// Every group.
pub static GROUPS: &[Group] = &[hip::GROUP, hipblas::GROUP, cuda::GROUP];
