//! Inode numbers: the same for the same place, whatever was listed, rotated, remounted or restarted.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use super::{Node, ROOT_INODE};
use crate::vault::SecretName;

/// Programs that hold a number in a double, as JavaScript does, are exact up to 2^53.
const NUMBER_MASK: u64 = (1 << 52) - 1;

/// The places that the kernel knows by number.
///
/// A number is a hash of the place, so it needs no table to be stable; the table is the way back, and
/// settles the case in which two places have the same hash.
#[derive(Debug, Default)]
pub struct Inodes {
    places: HashMap<u64, Known>,
}

#[derive(Debug)]
struct Known {
    node: Node,
    /// How often the kernel has been told this number; it forgets in the same coin (FUSE_FORGET).
    lookups: u64,
    /// The size that the kernel was told last, in bytes.
    size: u64,
    /// Whether it has taken that size. It drops an answer that crosses with something it is told unasked
    /// (`attr_version` in its fs/fuse/inode.c), and nobody hears of that.
    taken: bool,
}

impl Known {
    fn tell(&mut self, size: u64) {
        self.taken &= self.size == size;
        self.size = size;
    }
}

impl Inodes {
    /// The place behind a number that the kernel was told.
    pub fn node(&self, inode: u64) -> Option<Node> {
        if inode == ROOT_INODE {
            return Some(Node::Root);
        }
        self.places.get(&inode).map(|known| known.node.clone())
    }

    /// The place's number, without telling it to the kernel for keeps: for directory entries.
    pub fn number(&self, node: &Node) -> u64 {
        if *node == Node::Root {
            return ROOT_INODE;
        }
        let mut number = hash(node);
        while number <= ROOT_INODE || self.places.get(&number).is_some_and(|known| known.node != *node) {
            number = (number + 1) & NUMBER_MASK;
        }
        number
    }

    /// The same, with the size that the kernel was told of it last: 0 if it knows of none.
    pub fn number_and_size(&self, node: &Node) -> (u64, u64) {
        let number = self.number(node);
        (number, self.places.get(&number).map_or(0, |known| known.size))
    }

    /// The size, in bytes, that the kernel is sure to have for a number; `None` where it may have another.
    pub fn size_taken(&self, inode: u64) -> Option<u64> {
        self.places.get(&inode).filter(|known| known.taken).map(|known| known.size)
    }

    /// All numbers that the kernel was told.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        self.places.keys().copied()
    }

    /// A place's number is told to the kernel once more (LOOKUP, READDIRPLUS), with its size in bytes.
    pub fn remember(&mut self, node: &Node, number: u64, size: u64) {
        if number != ROOT_INODE {
            // An inode that is new to the kernel begins with the size that comes with it.
            let new = || Known { node: node.clone(), lookups: 0, size, taken: true };
            let known = self.places.entry(number).or_insert_with(new);
            known.lookups += 1;
            known.tell(size);
        }
    }

    /// The kernel is told a size, in bytes, of a number that it knows.
    pub fn tell(&mut self, inode: u64, size: u64) {
        if let Some(known) = self.places.get_mut(&inode) {
            known.tell(size);
        }
    }

    /// The kernel has taken a size that it was told unasked, unless it has been told another since.
    pub fn take(&mut self, inode: u64, size: u64) {
        if let Some(known) = self.places.get_mut(&inode) {
            known.taken |= known.size == size;
        }
    }

    /// The places of one secret that the kernel was told, by their numbers.
    pub fn of_secret(&self, name: &SecretName) -> impl Iterator<Item = (u64, &Node)> {
        let places = self.places.iter().map(|(number, known)| (*number, &known.node));
        places.filter(move |(_, node)| node.secret() == Some(name))
    }

    /// The kernel has forgotten a number so many times.
    pub fn forget(&mut self, inode: u64, times: u64) {
        if let Some(known) = self.places.get_mut(&inode) {
            known.lookups = known.lookups.saturating_sub(times);
            if known.lookups == 0 {
                self.places.remove(&inode);
            }
        }
    }
}

/// FNV-1a, because std's hasher may change with the compiler, and these numbers outlive it. Somebody
/// who crafts names that collide gains nothing: the table tells them apart.
struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        // The high bits are FNV's better ones.
        (self.0 ^ (self.0 >> 52)) & NUMBER_MASK
    }
}

fn hash(node: &Node) -> u64 {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    // A tag is never given to another kind, or its numbers would move.
    let tag = match node {
        Node::Root => 0_u8,
        Node::Secrets => 1,
        Node::Values => 2,
        Node::Secret(_) => 3,
        Node::Current(_) => 4,
        Node::Version(..) => 5,
        Node::Properties(_) => 6,
        Node::Value(_) => 7,
        Node::Deleted => 8,
        Node::DeletedSecret(_) => 9,
        Node::DeletedProperties(_) => 10,
        Node::Backups => 11,
        Node::Backup(_) => 12,
        Node::Scratch(..) => 13,
        Node::Restoring(_) => 14,
    };
    hasher.write(&[tag]);
    if let Some(name) = node.secret() {
        name.hash(&mut hasher);
    }
    if let Node::Version(_, version) = node {
        version.hash(&mut hasher);
    }
    if let Node::Scratch(_, number) | Node::Restoring(number) = node {
        number.hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str) -> Node {
        Node::Value(SecretName::parse(name).unwrap())
    }

    /// As a lookup does it.
    fn told(inodes: &mut Inodes, name: &str, size: u64) -> u64 {
        let number = inodes.number(&value(name));
        inodes.remember(&value(name), number, size);
        number
    }

    #[test]
    fn numbers_outlive_the_table() {
        let mut first = Inodes::default();
        let mut second = Inodes::default();
        told(&mut second, "other", 0);
        assert_eq!(told(&mut first, "db", 0), told(&mut second, "DB", 0));
        // Written down, so that no release moves it under somebody's watch or bind mount.
        assert_eq!(first.number(&value("db")), 3_731_080_673_492_423);
    }

    #[test]
    fn a_number_leads_back_until_it_is_forgotten_as_often_as_it_was_told() {
        let mut inodes = Inodes::default();
        let number = told(&mut inodes, "db", 3);
        assert_eq!(told(&mut inodes, "db", 5), number);
        assert_eq!(inodes.number_and_size(&value("db")), (number, 5));
        inodes.forget(number, 1);
        assert_eq!(inodes.node(number), Some(value("db")));
        inodes.forget(number, 1);
        assert_eq!(inodes.node(number), None);
        assert_eq!(inodes.node(ROOT_INODE), Some(Node::Root));
    }

    #[test]
    fn a_size_that_changes_by_an_answer_may_not_have_been_taken() {
        let mut inodes = Inodes::default();
        let number = told(&mut inodes, "db", 3);
        assert_eq!(inodes.size_taken(number), Some(3), "a new inode has the size that it comes with");
        told(&mut inodes, "db", 3);
        assert_eq!(inodes.size_taken(number), Some(3));
        told(&mut inodes, "db", 5);
        assert_eq!(inodes.size_taken(number), None);
        inodes.take(number, 4);
        assert_eq!(inodes.size_taken(number), None, "another than it was told last");
        inodes.take(number, 5);
        assert_eq!(inodes.size_taken(number), Some(5));
    }

    #[test]
    fn two_places_with_one_hash_get_two_numbers() {
        let mut inodes = Inodes::default();
        let number = inodes.number(&value("db"));
        inodes.places.insert(number, Known { node: value("squatter"), lookups: 1, size: 0, taken: true });
        assert_eq!(told(&mut inodes, "db", 0), number + 1);
        assert_eq!(inodes.node(number + 1), Some(value("db")));
    }
}
