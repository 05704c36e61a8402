//! What wakes a watcher, what does not, and that it keeps up with folders that come and go.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use outrider_core::{Burst, Digest, Entry, FileRule, FilesTable, Plan, RelPath, WatchOptions, Watcher};
use tempfile::TempDir;

/// Long enough for any machine; only a test that fails waits for it.
const LONG: Duration = Duration::from_secs(60);
/// Events are queued while the call that causes them runs: what was not told after this is not going to be.
const QUIET: Duration = Duration::from_millis(200);

fn rule(folder: &str, recursive: bool) -> FileRule {
    FileRule {
        folder: folder.into(),
        names: None,
        recursive,
        permissions: 0o660,
        remove_subdirs_if_empty: false,
        extra_valid: false,
    }
}

/// What this node is about to do: write these files and remove those.
fn plan(written: &[&str], removed: &[&str]) -> Plan {
    let entry = |path: &&str| Entry {
        path: RelPath::new(path).unwrap(),
        digest: Digest([0; 64]),
        mod_time: 0.0,
        rule: "tree/".into(),
    };
    Plan { missing: written.iter().map(entry).collect(), extra: removed.iter().map(entry).collect(), ..Plan::default() }
}

struct Watched {
    home: TempDir,
    watcher: Watcher,
}

impl Watched {
    fn with(rules: Vec<FileRule>, folders: &[&str]) -> Self {
        let home = TempDir::new().unwrap();
        for folder in folders {
            fs::create_dir_all(home.path().join(folder)).unwrap();
        }
        let table = FilesTable {
            rules,
            excluded_files: vec!["ar.conf".into()],
            excluded_suffixes: vec![".tmp".into()],
            follow_links: false,
        };
        let options = WatchOptions { settle: Duration::from_millis(5), longest: Duration::from_millis(50) };
        let watcher = Watcher::new(home.path(), Arc::new(table), options).unwrap();
        assert_eq!(watcher.reason(), None);
        Self { home, watcher }
    }

    fn tree() -> Self {
        Self::with(vec![rule("tree/", true)], &["tree/sub/deep"])
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.home.path().join(path)
    }

    fn write(&self, path: &str) {
        fs::write(self.path(path), path).unwrap();
    }

    /// Bursts until it is quiet, as one.
    fn told(&self) -> Burst {
        let mut all = self.watcher.wait(LONG).expect("nothing was told");
        while let Some(burst) = self.watcher.wait(Duration::from_millis(100)) {
            all.folders.extend(burst.folders);
            all.lost |= burst.lost;
        }
        all.folders.sort();
        all.folders.dedup();
        all
    }

    fn folders(&self) -> Vec<String> {
        let burst = self.told();
        assert!(!burst.lost, "{burst:?}");
        burst.folders
    }

    /// What was done since is nobody's business. A file that is written afterwards shows that the watch still works.
    fn quiet(&self, beat: &str) {
        assert_eq!(self.watcher.wait(QUIET), None);
        self.write(beat);
        let folder = Path::new(beat).parent().unwrap().to_str().unwrap();
        assert_eq!(self.folders(), [folder]);
    }
}

#[test]
fn a_file_that_is_written_renamed_over_removed_or_changed_in_mode_is_told_with_its_folder() {
    let watched = Watched::tree();
    watched.write("tree/a");
    assert_eq!(watched.folders(), ["tree"]);
    watched.write("fresh");
    fs::rename(watched.path("fresh"), watched.path("tree/a")).unwrap();
    assert_eq!(watched.folders(), ["tree"]);
    fs::hard_link(watched.path("tree/a"), watched.path("tree/sub/deep/b")).unwrap();
    assert!(watched.folders().contains(&"tree/sub/deep".to_owned()));
    fs::set_permissions(watched.path("tree/sub/deep/b"), Permissions::from_mode(0o600)).unwrap();
    assert!(watched.folders().contains(&"tree/sub/deep".to_owned()));
    fs::remove_file(watched.path("tree/sub/deep/b")).unwrap();
    assert!(watched.folders().contains(&"tree/sub/deep".to_owned()));
}

#[test]
fn reading_and_names_that_never_travel_wake_nobody() {
    let watched = Watched::tree();
    watched.write("tree/a");
    watched.told();
    fs::read(watched.path("tree/a")).unwrap();
    fs::read_dir(watched.path("tree/sub")).unwrap().count();
    watched.write("beside");
    watched.write("tree/ar.conf");
    watched.write("tree/sub/x.tmp");
    for folder in ["tree/.outrider/stage", "other/folder", "queue/cluster/w"] {
        fs::create_dir_all(watched.path(folder)).unwrap();
        watched.write(&format!("{folder}/file"));
    }
    watched.quiet("tree/b");
}

#[test]
fn containers_under_way_wake_nobody_even_where_the_table_names_their_folder() {
    let watched = Watched::with(vec![rule("queue/", true)], &["queue/cluster/w"]);
    watched.write("queue/cluster/w/container");
    fs::create_dir(watched.path("queue/cluster/other")).unwrap();
    watched.write("queue/cluster/other/container");
    watched.quiet("queue/own");
}

#[test]
fn a_table_folder_that_is_not_recursive_and_one_with_names_are_told_of_their_own_only() {
    let names = FileRule { names: Some(vec!["client.keys".into()]), ..rule("etc/", false) };
    let watched =
        Watched::with(vec![names, rule("etc/shared/", true), rule("flat/", false)], &["etc/shared/a", "flat/x"]);
    watched.write("etc/passwd");
    watched.write("flat/x/below");
    watched.quiet("flat/own");
    watched.write("etc/client.keys");
    assert_eq!(watched.folders(), ["etc"]);
    watched.write("etc/shared/a/b");
    assert_eq!(watched.folders(), ["etc/shared/a"]);
}

#[test]
fn folders_made_deep_at_once_are_watched_to_the_bottom() {
    let watched = Watched::tree();
    fs::create_dir_all(watched.path("tree/1/2/3/4")).unwrap();
    watched.write("tree/1/2/3/4/early");
    watched.told();
    watched.write("tree/1/2/3/4/later");
    assert_eq!(watched.folders(), ["tree/1/2/3/4"]);
}

#[test]
fn a_folder_that_is_moved_in_is_watched_and_one_that_is_moved_out_is_not() {
    let watched = Watched::tree();
    fs::create_dir_all(watched.path("outside/x/y")).unwrap();
    fs::rename(watched.path("outside/x"), watched.path("tree/x")).unwrap();
    assert_eq!(watched.folders(), ["tree"]);
    watched.write("tree/x/y/a");
    assert_eq!(watched.folders(), ["tree/x/y"]);
    fs::rename(watched.path("tree/x"), watched.path("tree/sub/moved")).unwrap();
    assert_eq!(watched.folders(), ["tree", "tree/sub"]);
    watched.write("tree/sub/moved/y/b");
    assert_eq!(watched.folders(), ["tree/sub/moved/y"]);
    fs::rename(watched.path("tree/sub/moved"), watched.path("outside/x")).unwrap();
    assert_eq!(watched.folders(), ["tree/sub"]);
    watched.write("outside/x/y/c");
    watched.quiet("tree/sub/beat");
}

#[test]
fn two_folders_that_change_places_are_both_watched_under_their_new_names() {
    let watched = Watched::with(vec![rule("tree/", true)], &["tree/a/in_a", "tree/b/in_b"]);
    let tree = File::open(watched.path("tree")).unwrap();
    rustix::fs::renameat_with(&tree, "a", &tree, "b", rustix::fs::RenameFlags::EXCHANGE).unwrap();
    assert_eq!(watched.folders(), ["tree"]);
    for folder in ["tree/b/in_a", "tree/a/in_b", "tree/a", "tree/b"] {
        watched.write(&format!("{folder}/file"));
        assert_eq!(watched.folders(), [folder]);
    }
}

#[test]
fn a_table_folder_may_come_later_and_be_made_again() {
    let watched = Watched::with(vec![rule("var/lib/tree/", true)], &[]);
    for round in 0..3 {
        fs::create_dir_all(watched.path("var/lib/tree/sub")).unwrap();
        watched.write("var/lib/tree/sub/early");
        watched.told();
        watched.write("var/lib/tree/sub/later");
        assert_eq!(watched.folders(), ["var/lib/tree/sub"], "round {round}");
        fs::remove_dir_all(watched.path(if round == 1 { "var" } else { "var/lib/tree" })).unwrap();
        watched.told();
        watched.write("var_beside");
        assert_eq!(watched.watcher.wait(QUIET), None);
    }
    assert_eq!(watched.watcher.reason(), None);
}

#[test]
fn threat_26_a_link_in_the_place_of_a_folder_is_not_entered() {
    let watched = Watched::tree();
    let outside = TempDir::new().unwrap();
    fs::create_dir(outside.path().join("below")).unwrap();
    symlink(outside.path(), watched.path("tree/way")).unwrap();
    fs::remove_dir_all(watched.path("tree/sub")).unwrap();
    symlink(outside.path(), watched.path("tree/sub")).unwrap();
    watched.told();
    fs::write(outside.path().join("below/file"), "").unwrap();
    fs::write(outside.path().join("file"), "").unwrap();
    watched.quiet("tree/beat");
}

#[test]
fn a_storm_is_told_in_bursts_and_none_of_it_is_lost() {
    let watched = Watched::tree();
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..5_000 {
                watched.write(&format!("tree/sub/{number}"));
            }
            watched.write("tree/last");
        });
        let mut bursts = 0;
        loop {
            let burst = watched.watcher.wait(LONG).expect("the storm's end was not told");
            bursts += 1;
            // 5,001 files make two events each: no more bursts than that could come, and an end must.
            assert!(bursts <= 10_002);
            if burst.folders.contains(&"tree".to_owned()) || burst.lost {
                break;
            }
        }
    });
    while watched.watcher.wait(QUIET).is_some() {}
    watched.quiet("tree/beat");
}

#[test]
fn an_overflow_says_that_something_was_lost_and_new_folders_are_watched_all_the_same() {
    let watched = Watched::tree();
    let most: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    // Nobody takes them, and two names in turn are not merged.
    for number in 0..=most {
        let name = format!("tree/{}", number % 2);
        fs::create_dir(watched.path(&name)).unwrap();
        fs::remove_dir(watched.path(&name)).unwrap();
    }
    fs::create_dir_all(watched.path("tree/unheard/of")).unwrap();
    assert!(watched.told().lost);
    watched.write("tree/unheard/of/a");
    assert_eq!(watched.folders(), ["tree/unheard/of"]);
}

#[test]
fn what_this_node_itself_changes_is_not_told_and_its_folders_are_watched() {
    let watched = Watched::tree();
    watched.write("tree/sub/gone");
    watched.folders();
    watched.watcher.begin();
    fs::create_dir(watched.path("tree/own")).unwrap();
    watched.write("tree/own/apply");
    fs::remove_file(watched.path("tree/sub/gone")).unwrap();
    watched.watcher.end(&plan(&["tree/own/apply"], &["tree/sub/gone"]));
    assert_eq!(watched.watcher.wait(QUIET), None);
    watched.quiet("tree/own/other");
}

#[test]
fn what_others_change_meanwhile_is_told_when_it_is_known_whose_it_was() {
    let watched = Watched::tree();
    watched.watcher.begin();
    watched.write("tree/apply");
    watched.write("tree/sub/somebody");
    fs::create_dir(watched.path("tree/else")).unwrap();
    assert_eq!(watched.watcher.wait(QUIET), None, "nobody knows yet whose it is");
    watched.watcher.end(&plan(&["tree/apply"], &[]));
    assert_eq!(watched.folders(), ["tree", "tree/sub"]);
}

#[test]
fn who_waits_hears_of_them_at_the_end() {
    let watched = Watched::tree();
    watched.watcher.begin();
    watched.write("tree/sub/somebody");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| watched.watcher.wait(LONG));
        assert_eq!(watched.watcher.wait(QUIET), None);
        watched.watcher.end(&Plan::default());
        let burst = waiting.join().unwrap().expect("whoever waited was not woken");
        assert_eq!(burst.folders, ["tree/sub"]);
    });
}

#[test]
fn what_was_changed_before_is_nobodys_plan() {
    let watched = Watched::tree();
    watched.write("tree/sub/same");
    watched.watcher.begin();
    watched.write("tree/sub/same");
    watched.watcher.end(&plan(&["tree/sub/same"], &[]));
    assert_eq!(watched.folders(), ["tree/sub"]);
}

#[test]
fn of_a_change_that_failed_everything_is_told() {
    let watched = Watched::tree();
    watched.watcher.begin();
    watched.write("tree/sub/half");
    watched.watcher.end(&Plan::default());
    assert_eq!(watched.folders(), ["tree/sub"]);
}

#[test]
fn two_changes_at_one_time_are_both_this_nodes() {
    let watched = Watched::tree();
    watched.watcher.begin();
    watched.watcher.begin();
    watched.write("tree/one");
    watched.watcher.end(&plan(&["tree/one"], &[]));
    watched.write("tree/sub/two");
    assert_eq!(watched.watcher.wait(QUIET), None);
    watched.watcher.end(&plan(&["tree/sub/two"], &[]));
    assert_eq!(watched.watcher.wait(QUIET), None);
    watched.quiet("tree/after");
}

#[test]
fn closing_ends_a_wait_and_every_later_one() {
    let watched = Watched::tree();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| watched.watcher.wait(LONG));
        watched.watcher.close();
        assert_eq!(waiting.join().unwrap(), None);
    });
    watched.write("tree/a");
    assert_eq!(watched.watcher.wait(LONG), None);
}

#[test]
fn a_home_that_is_not_there_is_an_error() {
    let nowhere = Watcher::new(Path::new("/nowhere/at/all"), Arc::default(), WatchOptions::default());
    assert!(nowhere.is_err_and(|error| error.to_string().starts_with("cannot open /nowhere/at/all")));
}
