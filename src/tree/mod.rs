//! Names, nodes, inode numbers and attributes of the mounted tree, the extended ones too: the one path
//! table, both ways.
//!
//! Pure: nothing here waits, reads a clock, or knows of HTTP or of the kernel's interface.

mod attributes;
mod extended;
mod inodes;
mod node;

pub use attributes::{Attributes, FileKind, Ownership};
pub use extended::{Extended, KNOWN, Refresh};
pub use inodes::Inodes;
pub use node::{FILE_NAME_MAX, FileNumber, Node, ROOT_INODE};
