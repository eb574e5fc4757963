//! What the system lets this process see of its GPUs: device files, groups, and files of libraries.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What this process may do with a device file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// It is there and opens.
    Usable,
    /// It is not there: the kernel driver is not loaded, or the container has not got it.
    Missing,
    /// It is there, and permissions keep this user from it.
    Denied {
        /// The group that may, where it has a name.
        group: Option<String>,
    },
    /// It is there and does not open for another reason.
    Broken(String),
}

/// A device file that AMD's driver needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its path.
    pub path: PathBuf,
    /// Whether it can be used.
    pub access: Access,
}

/// The device files of AMD's compute driver: `/dev/kfd` and each `/dev/dri/renderD…`, or `/dev/dri` where there is none.
pub fn nodes() -> Vec<Node> {
    let mut paths = vec![PathBuf::from("/dev/kfd")];
    let dri = PathBuf::from("/dev/dri");
    let entries = fs::read_dir(&dri).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut renders: Vec<_> = entries.filter(|path| is_render_node(path)).collect();
    renders.sort();
    if renders.is_empty() {
        renders.push(dri.join("renderD128"));
    }
    paths.append(&mut renders);
    paths.into_iter().map(|path| Node { access: access(&path), path }).collect()
}

fn is_render_node(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("renderD"))
}

fn access(path: &Path) -> Access {
    match File::options().read(true).write(true).open(path) {
        Ok(_) => Access::Usable,
        Err(error) => match error.kind() {
            ErrorKind::NotFound => Access::Missing,
            ErrorKind::PermissionDenied => Access::Denied { group: group_of(path) },
            _ => Access::Broken(error.to_string()),
        },
    }
}

/// Names of the groups that this process is in. Empty where the system does not tell.
pub fn user_groups() -> Vec<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let names = fs::read_to_string("/etc/group").unwrap_or_default();
    group_ids(&status).into_iter().filter_map(|id| group_name(&names, id)).collect()
}

/// Ids of the lines `Gid:` and `Groups:`.
fn group_ids(status: &str) -> Vec<u32> {
    let of = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    let ids = of("Gid:").split_whitespace().take(2).chain(of("Groups:").split_whitespace());
    let mut ids: Vec<u32> = ids.filter_map(|id| id.parse().ok()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The name of an id in lines `name:password:id:members`.
fn group_name(groups: &str, id: u32) -> Option<String> {
    let fields = groups.lines().map(|line| line.split(':').collect::<Vec<_>>());
    fields.into_iter().find_map(|f| (f.get(2)?.parse() == Ok(id)).then(|| f[0].to_owned()))
}

#[cfg(unix)]
fn group_of(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    group_name(&fs::read_to_string("/etc/group").ok()?, fs::metadata(path).ok()?.gid())
}

#[cfg(not(unix))]
fn group_of(_: &Path) -> Option<String> {
    None
}

/// The file that is mapped at an address of this process.
pub(super) fn file_at(address: usize) -> Option<PathBuf> {
    mapped_file(&fs::read_to_string("/proc/self/maps").ok()?, address)
}

/// The file at an address in lines `first-end permissions offset device inode    path`.
fn mapped_file(maps: &str, address: usize) -> Option<PathBuf> {
    maps.lines().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (first, end) = range.split_once('-')?;
        let bound = |text| usize::from_str_radix(text, 16).ok();
        let holds = (bound(first)?..bound(end)?).contains(&address);
        let path = rest.find('/').map(|at| PathBuf::from(&rest[at..]));
        path.filter(|_| holds)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_names() {
        let status = "Name:\tx\nUid:\t1\t1\t1\t1\nGid:\t100\t44\t100\t100\nGroups:\t44 992 7\n";
        assert_eq!(group_ids(status), [7, 44, 100, 992]);
        let groups = "root:x:0:\nvideo:x:44:ann\nrender:x:992:ann,bob\nbroken\n";
        assert_eq!(group_name(groups, 992).as_deref(), Some("render"));
        assert_eq!(group_name(groups, 7), None);
    }

    #[test]
    fn an_address_has_a_file() {
        let maps = "7f10-7f20 r-xp 00000000 08:01 42                         /usr/lib/with space.so\n\
                    7f20-7f30 rw-p 00000000 00:00 0 \n7f40-7f50 rw-p 00000000 00:00 0    [heap]\n";
        assert_eq!(mapped_file(maps, 0x7f1f), Some("/usr/lib/with space.so".into()));
        assert_eq!(mapped_file(maps, 0x7f20), None);
        assert_eq!(mapped_file(maps, 0x7f41), None);
    }

    #[test]
    fn what_is_not_there_is_missing() {
        assert_eq!(access(Path::new("/nowhere/at/all")), Access::Missing);
        assert!(nodes().len() >= 2);
    }
}
