//! The order of the rooms: `lib.rs` says it, imports keep to it, and files import each other in no circle. And what stands in one
//! place only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The rooms from the top down, by the rows of the table in `lib.rs`; those of one row may not import each other.
fn rooms(lib: &str) -> Vec<Vec<String>> {
    let rows = lib.lines().filter(|line| line.starts_with("//! | [`"));
    let names = |row: &str| row.split('`').skip(1).step_by(2).map(|name| name.trim_start_matches("mod@").to_string()).collect();
    rows.map(|row| names(row.trim_start_matches("//! | ").split(" | ").next().unwrap_or_default())).collect()
}

/// A module's path from the root (`data::split`) with what it imports, outside of its tests.
type Imports = BTreeMap<String, BTreeSet<String>>;

fn module_of(root: &Path, file: &Path) -> String {
    let path = file.strip_prefix(root).expect("it is in there").with_extension("");
    let parts: Vec<String> = path.iter().map(|part| part.to_string_lossy().into_owned()).filter(|part| part != "mod").collect();
    parts.join("::")
}

/// The text of each module, without comments and tests.
fn code(root: &Path) -> BTreeMap<String, String> {
    let files = walkdir::WalkDir::new(root).into_iter().flatten().map(|entry| entry.into_path());
    let without_comments = |file: &Path| {
        let text = fs::read_to_string(file).expect("it is text");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
    };
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "rs"));
    files.map(|file| (module_of(root, &file), without_comments(&file))).collect()
}

/// All paths that begin with `crate::` or `super::`, each resolved to the longest module that it names.
fn imports(root: &Path) -> Imports {
    let modules = code(root);
    let known = |path: &str| {
        let mut path = path.to_string();
        while !modules.contains_key(&path) {
            path = path.rsplit_once("::")?.0.to_string();
        }
        Some(path)
    };
    let mut found = Imports::new();
    for (module, code) in &modules {
        // `super` of `a/mod.rs` is the root, that of `a/b.rs` is `a`.
        let above = module.rsplit_once("::").map_or("", |(above, _)| above);
        let into = found.entry(module.clone()).or_default();
        for (start, from) in [("crate::", ""), ("super::", above)] {
            for (at, _) in code.match_indices(start) {
                for path in expand(&code[at + start.len()..]) {
                    let path = if from.is_empty() { path } else { format!("{from}::{path}") };
                    into.extend(known(&path).filter(|target| target != module));
                }
            }
        }
    }
    found
}

/// The paths of `a::b`, or of `a::{b, c::d}`.
fn expand(text: &str) -> Vec<String> {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    let path = text[..end].trim_end_matches(':').to_string();
    let Some(group) = text[end..].strip_prefix('{').filter(|_| path.is_empty() || text[..end].ends_with(':')) else { return vec![path] };
    let (mut depth, mut items, mut item) = (1, Vec::new(), String::new());
    for c in group.chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if depth == 0 || (depth == 1 && c == ',') {
            items.extend(expand(item.trim()).into_iter().filter(|item| !item.is_empty()));
            item.clear();
            if depth == 0 {
                break;
            }
        } else {
            item.push(c);
        }
    }
    items.into_iter().map(|item| if path.is_empty() { item } else { format!("{path}::{item}") }).collect()
}

/// What imports a room above or beside it.
fn upward(rooms: &[Vec<String>], imports: &Imports) -> Vec<String> {
    let floor = |module: &str| {
        let room = module.split("::").next().unwrap_or_default();
        rooms.iter().position(|row| row.iter().any(|name| name == room)).map(|floor| (floor, room.to_string()))
    };
    let mut found = Vec::new();
    for (module, targets) in imports {
        for target in targets {
            let (Some((from, room)), Some((to, other))) = (floor(module), floor(target)) else { continue };
            let within = rooms[from].iter().position(|name| *name == room) < rooms[to].iter().position(|name| *name == other);
            if to < from || (to == from && room != other && !within) {
                found.push(format!("{module} -> {target}"));
            }
        }
    }
    found
}

/// Modules of one room that import each other in a circle. A folder's `mod.rs` and the files in it are one.
fn circles(imports: &Imports) -> Vec<String> {
    let reach = |start: &str| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![start.to_string()]);
        while let Some(module) = next.pop() {
            for target in imports.get(&module).into_iter().flatten().filter(|target| !start.starts_with(&format!("{target}::"))) {
                if seen.insert(target.clone()) {
                    next.push(target.clone());
                }
            }
        }
        seen
    };
    let parent = |a: &str, b: &str| a.starts_with(&format!("{b}::")) || b.starts_with(&format!("{a}::"));
    let reached: BTreeMap<&String, BTreeSet<String>> = imports.keys().map(|module| (module, reach(module))).collect();
    let mut found = Vec::new();
    for (module, targets) in &reached {
        for target in targets.iter().filter(|target| *target > *module && !parent(module, target)) {
            if reached.get(target).is_some_and(|back| back.contains(*module)) {
                found.push(format!("{module} <-> {target}"));
            }
        }
    }
    found
}

/// Words that only one module may say, so that a platform with other clocks, or where nothing may block, changes one file.
const ONE_PLACE: [(&str, &[&str]); 2] =
    [("core::time", &["Instant", "SystemTime"]), ("exec::gpu::wait", &["block_on", "poll", "pollster", "PollType"])];

/// Modules that say what another one is there for.
fn strays(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for (module, code) in code(root) {
        let said: BTreeSet<&str> = code.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
        for (place, words) in ONE_PLACE.iter().filter(|(place, _)| *place != module) {
            found.extend(words.iter().filter(|word| said.contains(**word)).map(|word| format!("{module}: {word}, not {place}")));
        }
    }
    found
}

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn arrows_go_down() {
    let lib = fs::read_to_string(root().join("lib.rs")).expect("it is text");
    let rooms = rooms(&lib);
    let declared: BTreeSet<&str> = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert_eq!(declared, rooms.iter().flatten().map(String::as_str).collect(), "every module has a room, and every room is there");
    let imports = imports(&root());
    assert!(imports.values().map(BTreeSet::len).sum::<usize>() > 500, "imports are found");
    assert_eq!(upward(&rooms, &imports), [""; 0]);
}

#[test]
fn files_import_each_other_in_no_circle() {
    assert_eq!(circles(&imports(&root())), [""; 0]);
}

#[test]
fn clocks_and_waits_have_one_place() {
    assert_eq!(strays(&root()), [""; 0]);
    let code = code(&root());
    for (place, words) in ONE_PLACE {
        assert!(words.iter().all(|word| code[place].contains(word)), "{place} is where {words:?} are");
    }
}

#[test]
fn an_arrow_that_goes_up_and_a_circle_are_noticed() {
    let dir = tempfile::tempdir().expect("a place for files");
    let files = [
        ("top/mod.rs", "use crate::low::a;"),
        ("low/mod.rs", "pub mod a;"),
        ("low/a.rs", "use super::{b::{B, C}, d};\n// use crate::top;\n#[cfg(test)]\nmod tests { use crate::top; }"),
        ("low/b.rs", "fn f() { crate::low::a::g(); }"),
        ("low/c.rs", "use crate::{top, other};"),
    ];
    write(dir.path(), &files);
    let (rooms, imports) = (rooms("//! | [`top`] | x |\n//! | [`low`] | y |\n"), imports(dir.path()));
    assert_eq!(upward(&rooms, &imports), ["low::c -> top"]);
    assert_eq!(circles(&imports), ["low::a <-> low::b"]);
}

#[test]
fn a_clock_and_a_wait_elsewhere_are_noticed() {
    let dir = tempfile::tempdir().expect("a place for files");
    let files = [
        ("core/time.rs", "use std::time::{Instant, SystemTime};\nfn f() { pollster::block_on(g()); }"),
        ("exec/gpu/wait.rs", "fn f() { device.poll(PollType::Poll); }"),
        ("train/driver.rs", "fn f() { std::time::Instant::now(); }\nfn g() { polled(Instantly); } // block_on\n"),
        ("exec/gpu/mod.rs", "fn f() { self.device.poll(x); }\n#[cfg(test)]\nmod tests { use std::time::Instant; }"),
    ];
    write(dir.path(), &files);
    assert_eq!(
        strays(dir.path()),
        [
            "core::time: block_on, not exec::gpu::wait",
            "core::time: pollster, not exec::gpu::wait",
            "exec::gpu: poll, not exec::gpu::wait",
            "train::driver: Instant, not core::time",
        ]
    );
}

fn write(root: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).and_then(|()| fs::write(path, text)).expect("it is written");
    }
}

#[test]
fn the_command_line_is_known_to_no_room_below_it() {
    let files = walkdir::WalkDir::new(root()).into_iter().flatten().map(|entry| entry.into_path());
    let naming: Vec<_> = files.filter(|path| fs::read_to_string(path).is_ok_and(|text| text.contains("clap::"))).collect();
    assert_eq!(naming.iter().map(|path| module_of(&root(), path)).collect::<BTreeSet<_>>(), ["cli", "main"].map(String::from).into());
}

/// Names of types that are declared in several modules, with those modules.
fn homonyms(root: &Path) -> BTreeMap<String, Vec<String>> {
    let mut declared: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (module, code) in code(root) {
        // Associated types stand deeper than types of a module do.
        for line in code.lines().filter(|line| !line.starts_with(' ')) {
            let mut words = line.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
            let name = words.find(|word| ["struct", "enum", "trait", "type"].contains(word)).and_then(|_| words.next());
            if let Some(name) = name.filter(|name| name.starts_with(char::is_uppercase)) {
                declared.entry(name.into()).or_default().push(module.clone());
            }
        }
    }
    declared.retain(|_, modules| modules.len() > 1);
    declared
}

#[test]
fn a_name_of_a_type_has_one_meaning() {
    assert_eq!(homonyms(&root()), BTreeMap::new());
    let dir = tempfile::tempdir().expect("a place for files");
    write(
        dir.path(),
        &[("a.rs", "pub struct Row {\n    a: u8,\n}"), ("b/c.rs", "enum Row {}\nimpl X for Y {\n    type Z = u8;\n}\ntype Z = u8;")],
    );
    assert_eq!(homonyms(dir.path()), [("Row".to_string(), vec!["a".to_string(), "b::c".to_string()])].into());
}
