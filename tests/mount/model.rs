//! Random changes by two mounts and a client outside, against a model that fits on one screen.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;

use crate::support::{Mounted, TestVault, until};
use crate::writing::errno;

const NAMES: [&str; 4] = ["a", "Bb", "c-3", "d"];
const STEPS: usize = 60;

/// What the vault holds: values of live and of deleted secrets, newest last.
#[derive(Default)]
struct Model {
    live: BTreeMap<&'static str, Vec<String>>,
    deleted: BTreeMap<&'static str, Vec<String>>,
}

impl Model {
    /// A write makes a version unless the bytes are there already.
    fn write(&mut self, name: &'static str, value: String) {
        let versions = self.live.entry(name).or_default();
        if versions.last() != Some(&value) {
            versions.push(value);
        }
    }

    /// Names, newest values and numbers of versions, and the deleted names.
    fn view(&self) -> View {
        let live = self
            .live
            .iter()
            .map(|(name, versions)| (name.to_string(), versions.last().unwrap().clone(), versions.len()));
        (live.collect(), self.deleted.keys().map(|name| name.to_string()).collect())
    }
}

type View = (Vec<(String, String, usize)>, Vec<String>);

fn names(mount: &Mounted, directory: &str) -> Vec<String> {
    let entries = fs::read_dir(mount.path(directory)).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The same as a mount shows it; `None` while a value cannot be read.
fn shown(mount: &Mounted) -> Option<View> {
    let live = names(mount, "secrets");
    if live != names(mount, "values") || live != names(mount, "backups") {
        return None;
    }
    let secret = |name: String| {
        let value = fs::read_to_string(mount.path("values").join(&name)).ok()?;
        let same = fs::read_to_string(mount.path("secrets").join(&name).join("current")).ok()?;
        let versions = names(mount, &format!("secrets/{name}")).iter().filter(|file| file.len() == 32).count();
        let size = fs::metadata(mount.path("values").join(&name)).ok()?.len();
        (value == same && size == value.len() as u64).then_some((name, value, versions))
    };
    Some((live.into_iter().map(secret).collect::<Option<_>>()?, names(mount, "deleted")))
}

/// Numbers that look random, the same in every run (Knuth's MMIX generator).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

/// One change by whoever is drawn, carried out where the model allows it, and refused where it does not.
fn step(random: &mut Random, model: &mut Model, vault: &TestVault, mounts: &[Mounted; 2], number: usize) -> String {
    let name = NAMES[random.below(NAMES.len())];
    let mount = &mounts[random.below(2)];
    let value = format!("value {}", random.below(1 + number / 4));
    let current = mount.path("secrets").join(name).join("current");
    let (live, deleted) = (mount.path("secrets").join(name), mount.path("deleted").join(name));
    let kind = random.below(7);
    let is_live = model.live.contains_key(name);
    let is_deleted = model.deleted.contains_key(name);
    match kind {
        0 => {
            let written = fs::write(&current, &value);
            assert_eq!(errno(written), if is_live { 0 } else { libc::ENOENT });
            if is_live {
                model.write(name, value);
            }
        }
        1 if is_live => {
            let mut file = OpenOptions::new().append(true).open(&current).unwrap();
            file.write_all(b"+").unwrap();
            file.sync_all().unwrap();
            let longer = format!("{}+", model.live[name].last().unwrap());
            model.write(name, longer);
        }
        2 => {
            let made = fs::create_dir(&live);
            let expected = if is_live || is_deleted { libc::EEXIST } else { 0 };
            assert_eq!(
                errno(made),
                expected,
                "mkdir {name}: {:?}",
                mount.try_shell("getfattr -n user.akv.error secrets; ls secrets deleted")
            );
            if !is_live && !is_deleted {
                fs::write(&current, &value).unwrap();
                model.write(name, value);
            }
        }
        3 if !is_deleted => {
            vault.put(name, value.as_str());
            model.live.entry(name).or_default().push(value);
        }
        4 if is_live => {
            mount.shell(&format!("rm -r secrets/{name}"));
            fs::File::open(&deleted).unwrap().sync_all().unwrap();
            let versions = model.live.remove(name).unwrap();
            model.deleted.insert(name, versions);
        }
        5 => {
            let moved = fs::rename(&deleted, &live);
            assert_eq!(errno(moved), if is_deleted { 0 } else { libc::ENOENT });
            if is_deleted {
                fs::File::open(&live).unwrap().sync_all().unwrap();
                let versions = model.deleted.remove(name).unwrap();
                model.live.insert(name, versions);
            }
        }
        6 if is_deleted => {
            mount.shell(&format!("rm -r deleted/{name}"));
            fs::File::open(mount.path("deleted")).unwrap().sync_all().unwrap();
            model.deleted.remove(name);
        }
        _ => return String::new(),
    }
    format!("{kind} {name}")
}

fn run(seed: u64, flags: &[&str], agree: impl Fn(&str, &Mounted, &View)) {
    let vault = TestVault::empty();
    let flags = [&["--rw", "--allow-purge", "--delete-limit", "1000"], flags].concat();
    let mounts = [vault.mount_with(&flags), vault.mount_with(&flags)];
    let (mut random, mut model) = (Random(seed), Model::default());
    for number in 0..STEPS {
        let done = step(&mut random, &mut model, &vault, &mounts, number);
        if !done.is_empty() {
            for mount in &mounts {
                agree(&format!("seed {seed}, step {number}: {done}"), mount, &model.view());
            }
        }
    }
}

#[test]
fn random_changes_agree_with_the_model_at_once_without_a_cache() {
    for seed in 1..=3 {
        run(seed, &["--ttl", "0s", "--stale-if-error", "0s"], |what, mount, expected| {
            assert_eq!(shown(mount).as_ref(), Some(expected), "{what}");
        });
    }
}

#[test]
fn random_changes_agree_with_the_model_in_time_with_a_cache() {
    run(4, &["--ttl", "200ms"], |what, mount, expected| {
        until(what, || shown(mount).as_ref() == Some(expected));
    });
}
