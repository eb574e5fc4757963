//! The shapes that generated code fills in.

/// A C enumeration: a number with named values, since a library may return values that its headers did not have yet.
#[doc(hidden)]
#[macro_export]
macro_rules! c_enum {
    ($name:ident: $repr:ty { $($constant:ident = $value:literal,)* }) => {
        #[repr(transparent)]
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(pub $repr);

        impl $name {
            $(pub const $constant: Self = Self($value);)*
            /// All names with their values, in the order of the header.
            pub const ALL: &'static [(&'static str, Self)] = &[$((stringify!($constant), Self($value)),)*];

            /// The name of this value, where the headers have one.
            pub fn name(self) -> Option<&'static str> {
                Self::ALL.iter().find(|(_, value)| *value == self).map(|(name, _)| *name)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "{}({})", stringify!($name), self.0),
                }
            }
        }
    };
}

/// A table of function pointers, the types of the functions, and a method for each.
#[doc(hidden)]
#[macro_export]
macro_rules! function_table {
    (
        #[doc = $doc:literal]
        pub struct $functions:ident of $owner:ty, absent $absent:expr;
        required { $(#[doc = $rdoc:literal] fn $rname:ident($($rarg:ident: $rty:ty),*) -> $rret:ty;)* }
        optional { $(#[doc = $odoc:literal] fn $oname:ident($($oarg:ident: $oty:ty),*) -> $oret:ty;)* }
    ) => {
        /// The type of each function, named like the function.
        pub mod signatures {
            #[allow(unused_imports, reason = "not every table needs all of them")]
            use super::*;
            $(#[doc = $rdoc] pub type $rname = unsafe extern "C" fn($($rarg: $rty),*) -> $rret;)*
            $(#[doc = $odoc] pub type $oname = unsafe extern "C" fn($($oarg: $oty),*) -> $oret;)*
        }

        #[doc = $doc]
        #[derive(Debug, Clone, Copy)]
        pub struct $functions {
            $(#[doc = $rdoc] pub $rname: signatures::$rname,)*
            $(#[doc = $odoc] pub $oname: Option<signatures::$oname>,)*
        }

        impl $functions {
            /// Symbols that a library must export.
            pub const REQUIRED: &'static [&'static str] = &[$(stringify!($rname)),*];
            /// Symbols that a library may lack.
            pub const OPTIONAL: &'static [&'static str] = &[$(stringify!($oname)),*];

            /// Fills the table; the error is the first required symbol that `find` does not know.
            ///
            /// # Safety
            /// What `find` returns for a name is null or the address of a function with the type of that name in
            /// [`signatures`], valid for as long as the table is used.
            pub unsafe fn load(
                mut find: impl FnMut(&'static str) -> $crate::Address,
            ) -> Result<Self, &'static str> {
                Ok(Self {
                    $($rname: {
                        let address = find(stringify!($rname));
                        // SAFETY: the caller vouches for the address; null is `None` in an optional function pointer.
                        let function = unsafe { std::mem::transmute::<$crate::Address, Option<signatures::$rname>>(address) };
                        function.ok_or(stringify!($rname))?
                    },)*
                    $($oname: {
                        let address = find(stringify!($oname));
                        // SAFETY: as above.
                        unsafe { std::mem::transmute::<$crate::Address, Option<signatures::$oname>>(address) }
                    },)*
                })
            }
        }

        /// The library's functions under their own names.
        ///
        /// # Safety
        /// Of each: what the library's reference asks of the arguments. Pointers are valid for what the function reads
        /// or writes, handles come from this library and are not destroyed, and what an enqueued operation uses stays
        /// alive until the operation is done.
        #[allow(clippy::too_many_arguments, reason = "the signatures are the library's")]
        #[allow(clippy::missing_safety_doc, reason = "one section above speaks for all")]
        impl $owner {
            $(
                #[doc = $rdoc]
                pub unsafe fn $rname(&self, $($rarg: $rty),*) -> $rret {
                    // SAFETY: the caller keeps the function's own rules; the address came with the library.
                    unsafe { (self.functions.$rname)($($rarg),*) }
                }
            )*
            $(
                #[doc = $odoc]
                ///
                /// A library without the function answers with its status for what is not supported.
                pub unsafe fn $oname(&self, $($oarg: $oty),*) -> $oret {
                    match self.functions.$oname {
                        // SAFETY: as above.
                        Some(function) => unsafe { function($($oarg),*) },
                        None => $absent,
                    }
                }
            )*
        }
    };
}
