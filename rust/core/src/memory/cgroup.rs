//! The memory limits of this process's cgroup and of those around it: v2, v1, and both mounted side by side.

use super::{Fault, Files, Level, UNLIMITED, some_avg10};

/// A v1 limit from here up means none: the kernel writes the largest page-aligned number for it, 2^63 - page size.
/// Source: `PAGE_COUNTER_MAX` in the kernel's `include/linux/page_counter.h`.
const V1_UNLIMITED: u64 = 1 << 62;

/// What the two versions call the same things.
struct Version {
    /// Begins `source`, and is this version's word in our errors.
    name: &'static str,
    file_system: &'static str,
    limit: &'static str,
    used: &'static str,
    inactive_file: &'static str,
    /// Where it is mounted when /proc/self/mountinfo does not say.
    usual_mount: &'static str,
}

const V1: Version = Version {
    name: "cgroup1",
    file_system: "cgroup",
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    inactive_file: "total_inactive_file",
    usual_mount: "/sys/fs/cgroup/memory",
};

const V2: Version = Version {
    name: "cgroup2",
    file_system: "cgroup2",
    limit: "memory.max",
    used: "memory.current",
    inactive_file: "inactive_file",
    usual_mount: "/sys/fs/cgroup",
};

/// A cgroup directory and its name in the hierarchy.
struct Group {
    dir: String,
    name: String,
}

/// Where this process stands, as two files of /proc say.
pub(super) struct Cgroups<'a> {
    files: &'a Files<'a>,
    /// /proc/self/cgroup; empty when it is missing: then the mounts' own roots are read.
    own: String,
    /// /proc/self/mountinfo; empty when it is missing: then the usual places are read.
    mountinfo: String,
}

impl<'a> Cgroups<'a> {
    pub(super) fn of_this_process(files: &'a Files<'a>) -> Self {
        let text = |path| files.text(path).ok().flatten().unwrap_or_default();
        Self { files, own: text("/proc/self/cgroup"), mountinfo: text("/proc/self/mountinfo") }
    }

    /// The level with the smallest limit, in whichever version holds the memory controller: it is never in both.
    pub(super) fn read(&self) -> Result<Level, Fault> {
        let v1 = self.read_version(&V1);
        if let Ok(Some(level)) = v1 {
            return Ok(level);
        }
        if let Some(level) = self.read_version(&V2)? {
            return Ok(level);
        }
        v1?.ok_or_else(|| {
            let places = [&V2, &V1].map(|v| self.files.at(v.usual_mount).join(v.limit).display().to_string());
            format!("there is no cgroup memory limit file, such as {} or {}", places[0], places[1])
        })
    }

    /// Pressure on this process's own v2 cgroup, which with v1 memory limits may be mounted too.
    pub(super) fn pressure(&self) -> Option<f64> {
        let own = self.groups(&V2).into_iter().next()?;
        some_avg10(&self.files.text(&format!("{}/memory.pressure", own.dir)).ok()??)
    }

    /// `None`: the memory controller is not in this version.
    fn read_version(&self, version: &Version) -> Result<Option<Level>, Fault> {
        let is_v1 = version.name == V1.name;
        let mut levels: Vec<(u64, Group)> = Vec::new();
        for group in self.groups(version) {
            let path = format!("{}/{}", group.dir, version.limit);
            let Some(text) = self.files.text(&path)? else { continue };
            // A v1 group counts its children only when it is told to.
            if is_v1 && !levels.is_empty() && self.counts_no_children(&group) {
                break;
            }
            levels.push((parse_limit(&text).ok_or_else(|| self.not_a_number(&path))?, group));
        }
        let (Some((_, nearest)), Some((_, outermost))) = (levels.first(), levels.last()) else { return Ok(None) };
        let mut limit_bytes = levels.iter().map(|(limit, _)| *limit).min().unwrap_or(UNLIMITED);
        // Of equal limits the outer one binds first: at least as much is charged to it.
        let mut group = levels.iter().rfind(|(limit, _)| *limit == limit_bytes).map_or(nearest, |(_, group)| group);
        if limit_bytes == UNLIMITED {
            group = nearest;
        }
        // v1 tells of limits above the mount too; the outermost group we see is the nearest to them.
        let mut stat = self.stat(if is_v1 { nearest } else { group });
        let hidden = number(&stat, "hierarchical_memory_limit").filter(|limit| is_v1 && *limit > 0);
        if let Some(hidden) = hidden.filter(|limit| *limit < limit_bytes.min(V1_UNLIMITED)) {
            (limit_bytes, group) = (hidden, outermost);
        }
        if is_v1 && group.dir != nearest.dir {
            stat = self.stat(group);
        }
        let path = format!("{}/{}", group.dir, version.used);
        let text = self.files.text(&path)?.unwrap_or_default();
        let used: u64 = text.trim().parse().map_err(|_| self.not_a_number(&path))?;
        let used_bytes = used.saturating_sub(number(&stat, version.inactive_file).unwrap_or(0));
        Ok(Some(Level { used_bytes, limit_bytes, source: format!("{}:{}", version.name, group.name) }))
    }

    /// This process's group and all around it, innermost first, as far up as they are mounted.
    fn groups(&self, version: &Version) -> Vec<Group> {
        let path = own_path(&self.own, version).unwrap_or("/");
        let mut mounts: Vec<Mount> = self.mountinfo.lines().filter_map(|line| mount(line, version)).collect();
        if mounts.is_empty() {
            mounts.push(Mount { root: "/".into(), point: version.usual_mount.into() });
        }
        // In a cgroup namespace the path may be seen from outside of the mount, which then is all there is.
        let below = mounts.iter().find_map(|mount| {
            let rest = below_root(path, &mount.root)?;
            self.files.is_dir(&format!("{}{rest}", mount.point)).then_some((mount, rest))
        });
        let (mount, mut rest) = below.unwrap_or((&mounts[0], ""));
        let root = mount.root.trim_end_matches('/');
        let mut groups = Vec::new();
        loop {
            let name = if root.is_empty() && rest.is_empty() { "/".into() } else { format!("{root}{rest}") };
            groups.push(Group { dir: format!("{}{rest}", mount.point), name });
            match rest.rfind('/') {
                Some(end) => rest = rest[..end].trim_end_matches('/'),
                None => return groups,
            }
        }
    }

    /// A group's memory.stat; empty where it cannot be read, for its numbers only refine.
    fn stat(&self, group: &Group) -> String {
        self.files.text(&format!("{}/memory.stat", group.dir)).ok().flatten().unwrap_or_default()
    }

    fn counts_no_children(&self, group: &Group) -> bool {
        let text = self.files.text(&format!("{}/memory.use_hierarchy", group.dir));
        text.is_ok_and(|text| text.is_some_and(|text| text.trim() == "0"))
    }

    fn not_a_number(&self, path: &str) -> Fault {
        format!("{} does not hold a number of bytes", self.files.at(path).display())
    }
}

/// The number in a line `key 123` of a memory.stat.
fn number(stat: &str, key: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?.trim().parse().ok()
}

/// A cgroup mount: which part of the hierarchy is mounted, and where.
#[derive(Debug, PartialEq)]
struct Mount {
    root: String,
    point: String,
}

/// This process's path in a line `0::/path` (v2) or `4:cpu,memory:/path` (v1) of /proc/self/cgroup.
fn own_path<'a>(own: &'a str, version: &Version) -> Option<&'a str> {
    own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let is_it = if version.name == V2.name {
            id == "0" && controllers.is_empty()
        } else {
            controllers.split(',').any(|controller| controller == "memory")
        };
        is_it.then_some(path)
    })
}

/// The mount in a line of /proc/self/mountinfo, if it is one of this version's with memory in it.
/// Source: kernel Documentation/filesystems/proc.rst, 3.5.
fn mount(line: &str, version: &Version) -> Option<Mount> {
    let (front, back) = line.split_once(" - ")?;
    let mut back = back.split(' ');
    if back.next()? != version.file_system {
        return None;
    }
    let options = back.nth(1).unwrap_or_default();
    if version.name == V1.name && !options.split(',').any(|option| option == "memory") {
        return None;
    }
    let mut front = front.split(' ').skip(3);
    let (root, point) = (unescape(front.next()?), unescape(front.next()?));
    Some(Mount { root, point: point.trim_end_matches('/').into() })
}

/// Blanks, tabs, line ends and backslashes are written in octal there: `\040`.
fn unescape(field: &str) -> String {
    let mut parts = field.split('\\');
    let mut text = String::from(parts.next().unwrap_or_default());
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if byte.is_ascii() => {
                text.push(char::from(byte));
                text.push_str(&part[3..]);
            }
            _ => {
                text.push('\\');
                text.push_str(part);
            }
        }
    }
    text
}

/// The rest of `path` below `root`, as "" or "/a/b"; `None` when it is not below it.
fn below_root<'a>(path: &'a str, root: &str) -> Option<&'a str> {
    if path.split('/').any(|part| part == "..") {
        return None;
    }
    let rest = path.strip_prefix(root.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_end_matches('/'))
}

/// A limit in bytes, [`UNLIMITED`] for none; `None` for what is no number, or 0, under which no process lives.
fn parse_limit(text: &str) -> Option<u64> {
    match text.trim() {
        "max" => Some(UNLIMITED),
        number => number
            .parse()
            .ok()
            .filter(|limit| *limit > 0)
            .map(|limit| if limit < V1_UNLIMITED { limit } else { UNLIMITED }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Tree;
    use super::super::{Kind, Memory};
    use super::*;
    use proptest::prelude::*;

    const MEMINFO: (&str, &[u8]) = ("proc/meminfo", b"MemTotal: 1000000 kB\nMemAvailable: 900000 kB\n");

    fn read(files: &[(&str, &[u8])]) -> Memory {
        Tree::new(&[&[MEMINFO], files].concat()).read(Kind::Auto).unwrap()
    }

    fn summary(memory: &Memory) -> (u64, u64, &str) {
        (memory.used_bytes, memory.limit_bytes, &memory.source)
    }

    #[test]
    fn takes_the_smallest_limit_on_the_way_up_with_its_use() {
        let memory = read(&[
            ("proc/self/cgroup", b"0::/pod/app\n"),
            ("sys/fs/cgroup/pod/app/memory.max", b"max\n"),
            ("sys/fs/cgroup/pod/app/memory.current", b"100\n"),
            ("sys/fs/cgroup/pod/memory.max", b"5000\n"),
            ("sys/fs/cgroup/pod/memory.current", b"3000\n"),
            ("sys/fs/cgroup/pod/memory.stat", b"inactive_file_not 9\ninactive_file 1000\n"),
            ("sys/fs/cgroup/pod/app/memory.pressure", b"some avg10=50.00 avg60=0\n"),
        ]);
        assert_eq!(summary(&memory), (2000, 5000, "cgroup2:/pod"));
        assert_eq!(memory.pressure, Some(0.5));
    }

    #[test]
    fn takes_the_machine_when_v1_is_unlimited() {
        let memory = read(&[
            ("proc/self/cgroup", b"4:memory:/a\n0::/\n"),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", b"9223372036854771712\n"),
            ("sys/fs/cgroup/memory/a/memory.usage_in_bytes", b"77\n"),
        ]);
        assert_eq!(summary(&memory), (100_000 * 1024, 1_000_000 * 1024, "meminfo"));
    }

    #[test]
    fn takes_a_v1_limit_that_lies_above_the_mount() {
        let memory = read(&[
            ("proc/self/cgroup", b"4:cpu,memory:/docker/x\n"),
            ("proc/self/mountinfo", b"30 1 0:1 /docker/x /cg\\040m ro - cgroup cgroup rw,memory\n"),
            ("cg m/memory.limit_in_bytes", b"9223372036854771712\n"),
            ("cg m/memory.usage_in_bytes", b"700\n"),
            ("cg m/memory.stat", b"hierarchical_memory_limit 4000\ntotal_inactive_file 100\n"),
        ]);
        assert_eq!(summary(&memory), (600, 4000, "cgroup1:/docker/x"));
    }

    #[test]
    fn stops_below_a_v1_group_that_does_not_count_its_children() {
        let memory = read(&[
            ("proc/self/cgroup", b"4:memory:/a\n"),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", b"900\n"),
            ("sys/fs/cgroup/memory/a/memory.usage_in_bytes", b"77\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", b"100\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", b"88\n"),
            ("sys/fs/cgroup/memory/memory.use_hierarchy", b"0\n"),
        ]);
        assert_eq!(summary(&memory), (77, 900, "cgroup1:/a"));
    }

    #[test]
    fn falls_back_to_the_machine_when_a_limit_is_garbage() {
        for garbage in [&b""[..], b"x", b"-1", b"0", b"99999999999999999999999", b"\xff\x00"] {
            let files = [("sys/fs/cgroup/memory.max", garbage), ("sys/fs/cgroup/memory.current", b"1")];
            assert_eq!(read(&files).source, "meminfo");
            let message = Tree::new(&files).read(Kind::Cgroup).unwrap_err().to_string();
            assert!(message.contains("sys/fs/cgroup/memory.max does not hold a number"), "{message}");
        }
    }

    #[test]
    fn a_cgroup_alone_is_bounded_by_the_machine_or_refused() {
        let files = [("sys/fs/cgroup/memory.max", &b"max"[..]), ("sys/fs/cgroup/memory.current", b"5")];
        let memory = Tree::new(&[&[MEMINFO], &files[..]].concat()).read(Kind::Cgroup).unwrap();
        assert_eq!(summary(&memory), (5, 1_000_000 * 1024, "cgroup2:/"));
        let message = Tree::new(&files).read(Kind::Cgroup).unwrap_err().to_string();
        assert!(message.starts_with("cgroup2:/ has no limit"), "{message}");
    }

    #[test]
    fn knows_what_lies_below_a_mount_root() {
        assert_eq!(below_root("/a/b", "/"), Some("/a/b"));
        assert_eq!(below_root("/a/b", "/a"), Some("/b"));
        assert_eq!(below_root("/a", "/a"), Some(""));
        assert_eq!(below_root("/ab", "/a"), None);
        assert_eq!(below_root("/../a", "/"), None);
        assert_eq!(below_root("/", "/a"), None);
    }

    #[test]
    fn unescapes_octal() {
        assert_eq!(unescape(r"/a\040b\134c\9\0"), r"/a b\c\9\0");
    }

    proptest! {
        #[test]
        fn parsers_take_any_text(text: String, root: String) {
            for version in [&V1, &V2] {
                let _ = own_path(&text, version);
                let _ = mount(&text, version);
                let _ = mount(&format!("{text} - {} x memory", version.file_system), version);
            }
            let _ = (unescape(&text), below_root(&text, &root), parse_limit(&text));
        }
    }
}
