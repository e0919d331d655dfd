//! Why a module is refused, in a sentence for whoever uploaded it.

/// What is wrong with a module. It will not get better: the same bytes are
/// refused again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// More bytes than the tenant's tier allows.
    #[error("The module has {has} bytes; at most {most} are allowed.")]
    TooLarge {
        /// Bytes.
        has: usize,
        /// Bytes.
        most: usize,
    },
    /// Nothing at all.
    #[error("The module is empty.")]
    Empty,
    /// Something else.
    #[error("This is not a WebAssembly module or component in the binary format.")]
    NotWasm,
    /// It begins as WebAssembly.
    #[error("The module cannot be read: {0}.")]
    Malformed(String),
    /// A policy has no clock, no network, no files.
    #[error("The module imports {0}; a policy imports nothing.")]
    Import(String),
    /// A core module has to say which world it is made for.
    #[error(
        "The module has no WIT metadata (a custom section `component-type`): build it with the SDK or wit-bindgen, or upload a component."
    )]
    NoMetadata,
    /// `decide` is not there.
    #[error("The module exports {0}; a policy exports the function `decide`.")]
    NoDecide(String),
    /// Something beside `decide`.
    #[error("The component exports {0}; a policy exports the function `decide` alone.")]
    Export(String),
    /// More of something than a policy needs.
    #[error("The module has {has} {what}; at most {most} are allowed.")]
    TooMuch {
        /// Of what, in the plural.
        what: &'static str,
        /// How many.
        has: u64,
        /// How many may be.
        most: u64,
    },
    /// A part of WebAssembly that the sandbox leaves out.
    #[error("The module uses {0}, which a policy cannot.")]
    Feature(&'static str),
    /// The compiler, or the check against the world.
    #[error("The module is not valid: {0}.")]
    Invalid(String),
    /// The compiler ran out of its time.
    #[error("The module takes too long to compile: make its functions smaller.")]
    TooSlow,
    /// The compiler ran out of its memory.
    #[error("The module needs too much memory to compile: make its functions smaller.")]
    TooHungry,
    /// The compiler ran out of its stack.
    #[error("The module is nested too deeply to compile.")]
    TooDeep,
    /// The compiler broke.
    #[error("The module makes the compiler fail.")]
    Breaks,
}
