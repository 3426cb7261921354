//! How much memory is used, out of how much: one reading of /proc and of the cgroup file systems, with nothing kept.

mod cgroup;

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::{Error, Result};

/// One reading.
#[derive(Debug, Clone, PartialEq)]
pub struct Memory {
    /// Bytes in use against `limit_bytes`; may exceed it for a moment.
    pub used_bytes: u64,
    /// Bytes there may be, at least 1.
    pub limit_bytes: u64,
    /// This process's resident bytes; `None` when /proc does not say.
    pub rss_bytes: Option<u64>,
    /// Share of the last 10 s in which some task waited for memory, 0..=1; `None` where the kernel does not count it.
    pub pressure: Option<f64>,
    /// What was read: `cgroup2:/path`, `cgroup1:/path` or `meminfo`.
    pub source: String,
}

/// Which source to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The tighter of the cgroup's limit and the machine's memory, whatever of the two can be read.
    Auto,
    /// This process's cgroup.
    Cgroup,
    /// The whole machine, as in /proc/meminfo.
    Meminfo,
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "auto" => Ok(Self::Auto),
            "cgroup" => Ok(Self::Cgroup),
            "meminfo" => Ok(Self::Meminfo),
            _ => Err(Error::Argument("kind is unknown; pass 'auto', 'cgroup' or 'meminfo'".into())),
        }
    }
}

/// What is wrong with a source, in words that name the file. [`read`] adds the way out.
type Fault = String;

/// The limit of a level that has none.
const UNLIMITED: u64 = u64::MAX;

/// One level that limits this process: the machine, or a cgroup.
#[derive(Debug, Clone, PartialEq)]
struct Level {
    used_bytes: u64,
    /// At least 1; [`UNLIMITED`] for none.
    limit_bytes: u64,
    source: String,
}

/// Return one reading of this process's memory and its limit, with every path taken below `root` (`/` but in tests).
///
/// The limit is the tightest one on the way from the process's cgroup up, with the use of the level that sets it; the
/// machine is the outermost level. Use of a cgroup is its working set: what is charged to it less inactive file pages,
/// which the kernel drops before it kills.
///
/// Cost: about ten small files; measured in docs/memory.md.
///
/// Source: cgroup v2 and v1 `memory.*` files, kernel Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst;
/// working set as in the kubelet: google/cadvisor#1380 and container/libcontainer/handler.go, `setMemoryStats`.
/// `MemAvailable`: kernel Documentation/filesystems/proc.rst. Pressure: kernel Documentation/accounting/psi.rst.
///
/// # Errors
/// [`Error::Argument`] naming the file when the wanted source is missing or cannot be made sense of; in [`Kind::Auto`] only
/// when that holds for all of them.
pub fn read(kind: Kind, root: &Path) -> Result<Memory> {
    let files = Files { root };
    let machine = meminfo(&files);
    let groups = (kind != Kind::Meminfo).then(|| cgroup::Cgroups::of_this_process(&files));
    let (level, in_cgroup) = match &groups {
        None => {
            (machine.map_err(|fault| with_way_out(&fault, "use kind='auto' or pass retain_ratio yourself"))?, false)
        }
        Some(groups) if kind == Kind::Cgroup => {
            let group = groups
                .read()
                .map_err(|fault| with_way_out(&fault, "use kind='auto' or 'meminfo', or pass retain_ratio yourself"))?;
            (under_physical(group, machine)?, true)
        }
        Some(groups) => tightest(groups.read(), machine)?,
    };
    let pressure = groups.filter(|_| in_cgroup).and_then(|groups| groups.pressure());
    Ok(Memory {
        used_bytes: level.used_bytes,
        limit_bytes: level.limit_bytes,
        rss_bytes: rss_bytes(root),
        pressure: pressure.or_else(|| some_avg10(&files.text("/proc/pressure/memory").ok()??)),
        source: level.source,
    })
}

/// Return this process's resident bytes; `None` where /proc does not say.
///
/// From `VmRSS` in /proc/self/status, which unlike statm needs no page size.
pub fn rss_bytes(root: &Path) -> Option<u64> {
    kib_line(&Files { root }.text("/proc/self/status").ok()??, "VmRSS:")
}

/// The machine as one more level around the cgroup: the tighter limit wins, with its own use. True: it is the cgroup's.
fn tightest(group: Result<Level, Fault>, machine: Result<Level, Fault>) -> Result<(Level, bool)> {
    match (group, machine) {
        (Ok(group), Ok(machine)) if group.limit_bytes <= machine.limit_bytes => Ok((group, true)),
        (_, Ok(machine)) => Ok((machine, false)),
        (Ok(group), Err(_)) if group.limit_bytes != UNLIMITED => Ok((group, true)),
        (_, Err(fault)) => {
            Err(with_way_out(&fault, "memory can be read on Linux only so far, elsewhere pass retain_ratio yourself"))
        }
    }
}

/// The cgroup alone: a machine smaller than its limit still bounds it.
fn under_physical(group: Level, machine: Result<Level, Fault>) -> Result<Level> {
    match machine {
        Ok(machine) => Ok(Level { limit_bytes: group.limit_bytes.min(machine.limit_bytes), ..group }),
        Err(_) if group.limit_bytes != UNLIMITED => Ok(group),
        Err(fault) => {
            let fault = format!("{} has no limit, and {fault}", group.source);
            Err(with_way_out(&fault, "set a limit or pass retain_ratio yourself"))
        }
    }
}

fn with_way_out(fault: &str, way_out: &str) -> Error {
    Error::Argument(format!("{fault}; {way_out}"))
}

fn meminfo(files: &Files) -> Result<Level, Fault> {
    let path = "/proc/meminfo";
    let text = files.text(path)?.ok_or_else(|| format!("{} is not there", files.at(path).display()))?;
    let line = |key| kib_line(&text, key).ok_or_else(|| format!("{} has no good {key} line", files.at(path).display()));
    let total = line("MemTotal:")?;
    let available = line("MemAvailable:")?;
    if total == 0 {
        return Err(format!("{} says MemTotal is 0", files.at(path).display()));
    }
    Ok(Level { used_bytes: total.saturating_sub(available), limit_bytes: total, source: "meminfo".into() })
}

/// Bytes in a line `Key:   123 kB`.
fn kib_line(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The share in `some avg10=1.23 avg60=...`, a line of a pressure file.
fn some_avg10(text: &str) -> Option<f64> {
    let fields = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let percent: f64 = fields.split_whitespace().find_map(|field| field.strip_prefix("avg10="))?.parse().ok()?;
    percent.is_finite().then(|| (percent / 100.0).clamp(0.0, 1.0))
}

/// The file system below a root.
struct Files<'a> {
    root: &'a Path,
}

impl Files<'_> {
    /// More than any of these files holds; a bound on what a hostile one may cost.
    const MAX_BYTES: u64 = 1 << 20;

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn is_dir(&self, path: &str) -> bool {
        self.at(path).is_dir()
    }

    /// A file's text, with bytes that are not UTF-8 replaced; `None` when there is no such file.
    fn text(&self, path: &str) -> Result<Option<String>, Fault> {
        let path = self.at(path);
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(Self::MAX_BYTES).read_to_end(&mut bytes)) {
            Ok(_) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(format!("{} cannot be read ({})", path.display(), error.kind())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A tree of files below a temporary directory, removed when dropped.
    pub(super) struct Tree(PathBuf);

    impl Tree {
        pub(super) fn new(files: &[(&str, &[u8])]) -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let id = format!("rolecore-memory-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let tree = Self(std::env::temp_dir().join(id));
            for (path, bytes) in files {
                let path = tree.0.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
            tree
        }

        pub(super) fn read(&self, kind: Kind) -> Result<Memory> {
            super::read(kind, &self.0)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const MEMINFO: &[u8] = b"MemTotal:       1000 kB\nMemFree:  1 kB\nMemAvailable:    400 kB\n";

    #[test]
    fn reads_the_machine() {
        let memory = Tree::new(&[
            ("proc/meminfo", MEMINFO),
            ("proc/self/status", b"Name:\tx\nVmRSS:\t      64 kB\n"),
            ("proc/pressure/memory", b"some avg10=12.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=1.00\n"),
        ])
        .read(Kind::Meminfo)
        .unwrap();
        let expected = Memory {
            used_bytes: 600 * 1024,
            limit_bytes: 1000 * 1024,
            rss_bytes: Some(64 * 1024),
            pressure: Some(0.125),
            source: "meminfo".into(),
        };
        assert_eq!(memory, expected);
    }

    #[test]
    fn names_the_file_and_the_way_out_without_proc() {
        let tree = Tree::new(&[("x", b"")]);
        for kind in [Kind::Auto, Kind::Meminfo] {
            let message = tree.read(kind).unwrap_err().to_string();
            assert!(message.contains("proc/meminfo is not there; "), "{message}");
            assert!(message.contains("pass retain_ratio yourself"), "{message}");
        }
        let message = tree.read(Kind::Cgroup).unwrap_err().to_string();
        assert!(message.contains("memory.max") && message.contains("kind='auto'"), "{message}");
    }

    #[test]
    fn names_the_line_that_is_no_good() {
        for (text, key) in [
            (&b"MemTotal: x kB\nMemAvailable: 1 kB\n"[..], "MemTotal:"),
            (b"MemTotal: 99999999999999999999 kB\n", "MemTotal:"),
            (b"MemTotal: 18446744073709551615 kB\n", "MemTotal:"),
            (b"MemTotal: 10 kB\nMemAvailable:\n", "MemAvailable:"),
            (b"MemTotal: 0 kB\nMemAvailable: 0 kB\n", "MemTotal is 0"),
            (b"\xff\xfe\x00", "MemTotal:"),
        ] {
            let message = Tree::new(&[("proc/meminfo", text)]).read(Kind::Auto).unwrap_err().to_string();
            assert!(message.contains(key), "{message}");
        }
    }

    #[test]
    fn reads_this_machine() {
        if let Ok(memory) = read(Kind::Auto, Path::new("/")) {
            assert!(memory.limit_bytes > 0 && memory.rss_bytes.is_some_and(|rss| rss > 0), "{memory:?}");
        }
    }

    #[test]
    fn refuses_an_unknown_kind() {
        assert!("gpus".parse::<Kind>().is_err());
    }

    proptest! {
        #[test]
        fn pressure_is_a_share_or_nothing(text: String, number: f64) {
            prop_assert!(some_avg10(&text).is_none_or(|share| (0.0..=1.0).contains(&share)));
            let share = some_avg10(&format!("some avg10={number}"));
            prop_assert!(share.is_none_or(|share| (0.0..=1.0).contains(&share)));
        }

        #[test]
        fn hostile_files_give_a_reading_or_an_error(
            bytes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 7),
            digits in "[0-9]{1,30}", own in "(0:|4:memory)?:[/.a-z]{0,12}", mount in "[ /.a-z0-9\\\\-]{0,40} - cgroup2? x memory",
        ) {
            let mixed = |i: usize| [digits.as_bytes(), &bytes[i]].concat();
            let tree = Tree::new(&[
                ("proc/meminfo", &bytes[0]),
                ("proc/self/cgroup", own.as_bytes()),
                ("proc/self/mountinfo", mount.as_bytes()),
                ("proc/self/status", &[b"VmRSS: ", &mixed(1)[..]].concat()),
                ("sys/fs/cgroup/memory.max", digits.as_bytes()),
                ("sys/fs/cgroup/memory.current", &mixed(2)),
                ("sys/fs/cgroup/memory.stat", &bytes[3]),
                ("sys/fs/cgroup/memory.pressure", &bytes[4]),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", &mixed(5)),
                ("sys/fs/cgroup/memory/memory.usage_in_bytes", &mixed(6)),
            ]);
            for kind in [Kind::Auto, Kind::Cgroup, Kind::Meminfo] {
                match tree.read(kind) {
                    Ok(memory) => prop_assert!(memory.limit_bytes > 0),
                    Err(error) => prop_assert!(matches!(error, Error::Argument(_))),
                }
            }
        }
    }
}
