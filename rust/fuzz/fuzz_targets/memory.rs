//! Any bytes in the files of /proc and of the cgroup file systems: a reading that makes sense, or an error.
#![no_main]

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::LazyLock;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rolecore_core::Error;
use rolecore_core::memory::{Kind, Memory, read};

/// What a file begins with before its arbitrary bytes.
const BEGINNINGS: [&str; 12] = [
    "",
    "max\n",
    "9223372036854771712\n",
    "1000000\n",
    "0::/a/b\n",
    "4:cpu,memory:/a\n",
    "30 1 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
    "30 1 0:1 /a /m\\040n ro - cgroup cgroup rw,memory\n",
    "MemTotal: 1000000 kB\nMemAvailable: 900000 kB\n",
    "VmRSS: 64 kB\n",
    "inactive_file 1000\ntotal_inactive_file 1000\nhierarchical_memory_limit 5000\n",
    "some avg10=12.50 avg60=0.00\n",
];

const PLACES: [&str; 17] = [
    "proc/meminfo",
    "proc/self/cgroup",
    "proc/self/mountinfo",
    "proc/self/status",
    "proc/pressure/memory",
    "sys/fs/cgroup/memory.max",
    "sys/fs/cgroup/memory.current",
    "sys/fs/cgroup/memory.stat",
    "sys/fs/cgroup/memory.pressure",
    "sys/fs/cgroup/a/memory.max",
    "sys/fs/cgroup/a/memory.current",
    "sys/fs/cgroup/memory/memory.limit_in_bytes",
    "sys/fs/cgroup/memory/memory.usage_in_bytes",
    "sys/fs/cgroup/memory/memory.stat",
    "sys/fs/cgroup/memory/a/memory.limit_in_bytes",
    "sys/fs/cgroup/memory/a/memory.usage_in_bytes",
    "sys/fs/cgroup/memory/memory.use_hierarchy",
];

#[derive(Arbitrary, Debug)]
struct Content<'a> {
    place: u8,
    beginning: u8,
    rest: &'a [u8],
}

/// One directory a process; it is there only while an input is read.
static ROOT: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("rolecore-fuzz-{}", std::process::id())));

fn write(contents: &[Content<'_>]) -> io::Result<()> {
    for content in contents {
        let path = ROOT.join(PLACES[usize::from(content.place) % PLACES.len()]);
        let beginning = BEGINNINGS[usize::from(content.beginning) % BEGINNINGS.len()];
        fs::create_dir_all(path.parent().unwrap_or(&ROOT))?;
        fs::write(path, [beginning.as_bytes(), content.rest].concat())?;
    }
    Ok(())
}

fn check(kind: Kind) -> Option<Memory> {
    match read(kind, &ROOT) {
        Ok(memory) => {
            assert!(memory.limit_bytes > 0 && memory.limit_bytes < u64::MAX, "{kind:?}: {memory:?}");
            assert!(memory.pressure.is_none_or(|share| (0.0..=1.0).contains(&share)), "{kind:?}: {memory:?}");
            Some(memory)
        }
        Err(Error::Argument(_)) => None,
        Err(error) => panic!("{kind:?}: {error:?}"),
    }
}

fuzz_target!(|contents: Vec<Content<'_>>| {
    fs::create_dir_all(&*ROOT).and_then(|()| write(&contents)).expect("the temporary directory takes files");
    let [auto, cgroup, machine] = [Kind::Auto, Kind::Cgroup, Kind::Meminfo].map(check);
    if let Some(machine) = &machine {
        let auto = auto.as_ref().expect("the machine alone is enough");
        assert!(auto.limit_bytes <= machine.limit_bytes, "{auto:?} is wider than {machine:?}");
        assert!(cgroup.as_ref().is_none_or(|cgroup| cgroup.limit_bytes <= machine.limit_bytes), "{cgroup:?}");
    }
    if let Some(cgroup) = &cgroup {
        let auto = auto.as_ref().expect("the cgroup is enough");
        assert!(auto.limit_bytes <= cgroup.limit_bytes, "{auto:?} is wider than {cgroup:?}");
    }
    fs::remove_dir_all(&*ROOT).expect("the directory is ours");
});
