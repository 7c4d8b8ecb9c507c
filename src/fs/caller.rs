//! Who asks.

/// A process, by its number; 0 where the kernel hides it, as it does across pid namespaces.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Process(pub u32);

/// Who asks for an operation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caller {
    /// The process.
    pub process: Process,
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Whether a signal is ending the process at this moment.
    pub killed: bool,
}
