//! Power failures, by chance: what the store has told the disk is recorded, cut off at any step, and what was not
//! flushed by then is lost, torn or kept at random, as a disk is free to do. The store has to open, and show a state
//! the vault was in, no older than what it acknowledged last.

use std::sync::mpsc::channel;

use parking_lot::Mutex;
use redb::backends::InMemoryBackend;

use super::super::model::{NewSecret, SecretName, UnixTime, VersionId};
use super::*;

#[derive(Clone, Debug)]
enum Step {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Flush,
    /// The writer was told that its change is kept. How many of them there are is the state acknowledged.
    Acknowledge,
}

/// A disk that remembers what it was told. Clones are the same disk.
#[derive(Clone, Debug)]
struct Disk {
    content: Arc<InMemoryBackend>,
    steps: Arc<Mutex<Vec<Step>>>,
}

impl Disk {
    fn holding(content: &[u8]) -> Disk {
        let disk = Disk { content: Arc::new(InMemoryBackend::new()), steps: Arc::default() };
        disk.content.set_len(content.len() as u64).unwrap();
        disk.content.write(0, content).unwrap();
        disk
    }

    fn note(&self, step: Step) {
        self.steps.lock().push(step);
    }

    fn steps(&self) -> Vec<Step> {
        self.steps.lock().clone()
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.content.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.content.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.note(Step::SetLen(len));
        self.content.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.note(Step::Flush);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.note(Step::Write(offset, data.to_vec()));
        self.content.write(offset, data)
    }
}

/// What is on a disk that held `content`, once it was told `steps` and lost its power.
fn after_power_loss(content: &[u8], steps: &[Step], chance: &mut fastrand::Rng) -> Vec<u8> {
    let mut content = content.to_vec();
    let flushed = steps.iter().rposition(|step| matches!(step, Step::Flush)).map_or(0, |last| last + 1);
    steps[..flushed].iter().for_each(|step| carry_out(&mut content, step));
    for step in &steps[flushed..] {
        match (chance.u8(0..3), step) {
            (0, _) => {}
            (1, Step::Write(offset, data)) => {
                let (from, to) = (chance.usize(0..=data.len()), chance.usize(0..=data.len()));
                let (from, to) = (from.min(to), from.max(to));
                carry_out(&mut content, &Step::Write(offset + from as u64, data[from..to].to_vec()));
            }
            _ => carry_out(&mut content, step),
        }
    }
    content
}

fn carry_out(content: &mut Vec<u8>, step: &Step) {
    match step {
        Step::Write(offset, data) => {
            let start = usize::try_from(*offset).unwrap();
            content.resize(content.len().max(start + data.len()), 0);
            content[start..start + data.len()].copy_from_slice(data);
        }
        Step::SetLen(len) => content.resize(usize::try_from(*len).unwrap(), 0),
        Step::Flush | Step::Acknowledge => {}
    }
}

/// Everything in a vault, values and all.
type Contents = BTreeMap<String, Vec<u8>>;

fn contents<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Contents {
    let whole = |secret: &Secret| (secret.name.key(), record::encode_whole(secret).to_vec());
    secrets.into_iter().map(whole).collect()
}

fn cipher() -> Cipher {
    Cipher::new(&MasterKey::from([1; 32])).unwrap()
}

fn open(disk: Disk) -> Result<(Store, Vec<Secret>), StoreError> {
    Store::open_over(disk, Path::new("recorded"), cipher(), &mut Options::default())
}

fn now() -> UnixTime {
    UnixTime::new(std::time::Duration::from_secs(1_700_000_000))
}

/// A vault at work on a disk, and every state it has been in.
struct Recording {
    /// What the disk holds when the new store is given its name: all of it flushed by then.
    made: Vec<u8>,
    disk: Disk,
    vault: Vault,
    states: Vec<Contents>,
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

impl Recording {
    fn make(rounds: u32, chance: &mut fastrand::Rng) -> Recording {
        let disk = Disk::holding(&[]);
        let database = make(disk.clone(), Path::new("recorded"), &cipher()).unwrap();
        assert!(matches!(disk.steps().last(), Some(Step::Flush)));
        let made = after_power_loss(&[], &disk.steps(), chance);
        drop(database);
        let disk = Disk::holding(&made);
        let (store, _) = open(disk.clone()).unwrap();
        let vault = Vault::new(Options::default());
        let mut recording = Recording { made, disk, vault, states: vec![Contents::new()] };
        for _ in 0..rounds {
            // Several at once share a commit.
            let waiting: Vec<_> = (0..chance.u32(1..4)).map(|_| recording.change(&store, chance)).collect();
            waiting.into_iter().for_each(|kept| assert_eq!(kept.recv(), Ok(true)));
        }
        recording
    }

    /// Changes the vault somehow and has it kept.
    fn change(&mut self, store: &Store, chance: &mut fastrand::Rng) -> mpsc::Receiver<bool> {
        let name = SecretName::parse(NAMES[chance.usize(..NAMES.len())]).unwrap();
        let vault = &mut self.vault;
        // What the rules refuse changes nothing, and is kept as that.
        match chance.u8(0..10) {
            0 => drop(vault.delete(&name, now())),
            1 => drop(vault.recover(&name, now())),
            2 => drop(vault.purge(&name, now())),
            _ => {
                let value = "v".repeat(chance.usize(0..20_000));
                drop(vault.set(&name, NewSecret::from(value), VersionId::new(chance.u128(..).to_be_bytes()), now()));
            }
        }
        let (tell, kept) = channel();
        let disk = self.disk.clone();
        let acknowledge = move |on_disk| {
            disk.note(Step::Acknowledge);
            tell.send(on_disk).unwrap();
        };
        let changes = vault.take_changes();
        store.write(vault, &changes, Box::new(acknowledge));
        self.states.push(contents(NAMES.iter().filter_map(|name| vault.secret(&name.to_ascii_uppercase()))));
        kept
    }

    /// Cuts the power after `steps` steps, and once more while the store is being opened again.
    fn cut(&self, steps: &[Step], chance: &mut fastrand::Rng) {
        let acknowledged = steps.iter().filter(|step| matches!(step, Step::Acknowledge)).count();
        let content = after_power_loss(&self.made, steps, chance);
        let disk = Disk::holding(&content);
        let opened = self.state_of(disk.clone(), acknowledged);
        let repair = disk.steps();
        let content = after_power_loss(&content, &repair[..chance.usize(0..=repair.len())], chance);
        let again = self.state_of(Disk::holding(&content), acknowledged);
        assert!(again >= acknowledged && opened >= acknowledged);
    }

    /// Which of the states it has been in the vault shows on this disk.
    fn state_of(&self, disk: Disk, acknowledged: usize) -> usize {
        let (_, secrets) = open(disk).unwrap_or_else(|error| panic!("after {acknowledged} writes: {error}"));
        let found = contents(&secrets);
        let state = self.states.iter().rposition(|state| *state == found);
        state.unwrap_or_else(|| panic!("after {acknowledged} writes: a state that never was"))
    }
}

#[test]
fn no_acknowledged_write_is_lost_by_a_power_failure() {
    let seed = std::env::var("AKVFS_TEST_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    let rounds = std::env::var("AKVFS_TEST_POWER_CUTS").map_or(8, |rounds| rounds.parse().unwrap());
    let mut chance = fastrand::Rng::with_seed(seed);
    let recording = Recording::make(rounds, &mut chance);
    let steps = recording.disk.steps();
    let acknowledged = recording.states.len() - 1;
    assert_eq!(steps.iter().filter(|step| matches!(step, Step::Acknowledge)).count(), acknowledged);
    println!("seed {seed}: {} steps, {acknowledged} writes, cut after each step", steps.len());
    for end in 0..=steps.len() {
        recording.cut(&steps[..end], &mut chance);
    }
}
