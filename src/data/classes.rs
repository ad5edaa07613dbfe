//! Classes are what they are called: other data's labels, numbered as a run numbers its own.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::names::{find_name, some_of};
use super::{Dataset, Tags};

impl Dataset {
    /// Labels numbered as in `known`, by the names of classes; notes which of those are absent. Fails where classes are not known.
    pub fn with_classes(mut self, known: &[String]) -> Result<Dataset> {
        let truths = || [Some(&self.train), self.test.as_ref()].into_iter().flatten().map(|part| &part.truth);
        let labels = truths().filter_map(|truth| truth.labels.as_ref()).flatten().copied();
        let used: BTreeSet<u32> = labels.chain(truths().filter_map(|truth| truth.tags.as_ref()).flat_map(Tags::classes)).collect();
        let found: Vec<Option<u32>> = self.class_names.iter().map(|name| find_name(known, name).map(|class| class as u32)).collect();
        let name = |class: &u32| self.class_names[*class as usize].as_str();
        let unknown: Vec<&str> = used.iter().filter(|&&class| found[class as usize].is_none()).map(name).collect();
        if !unknown.is_empty() {
            bail!("{} has classes that the run does not know: {}; it knows {}", self.name, some_of(&unknown), some_of(known));
        }
        let mapped: Vec<u32> = used.iter().filter_map(|&class| found[class as usize]).collect();
        let present: BTreeSet<u32> = mapped.iter().copied().collect();
        if present.len() < used.len() {
            bail!(
                "{} has classes that differ in case or Unicode form only and are one to the run: {}",
                self.name,
                some_of(&self.class_names)
            );
        }
        let renamed: Vec<String> = used
            .iter()
            .filter_map(|&class| Some((name(&class), known[found[class as usize]? as usize].as_str())))
            .filter(|(theirs, ours)| theirs != ours)
            .map(|(theirs, ours)| format!("{theirs} is {ours}"))
            .collect();
        if !renamed.is_empty() {
            self.notes.push(format!("classes differ in case or Unicode form only: {}", some_of(&renamed)));
        }
        let absent: Vec<&str> =
            (0..known.len()).filter(|&class| !present.contains(&(class as u32))).map(|class| known[class].as_str()).collect();
        if !absent.is_empty() && !used.is_empty() {
            self.notes.push(format!("{} of the run's {} classes are absent: {}", absent.len(), known.len(), some_of(&absent)));
        }
        for part in [Some(&mut self.train), self.test.as_mut()].into_iter().flatten() {
            let class = |class: u32| found[class as usize].expect("unknown classes are refused");
            part.truth.labels.iter_mut().flatten().for_each(|label| *label = class(*label));
            part.truth.tags.iter_mut().for_each(|tags| *tags = tags.renumbered(class));
        }
        (self.classes, self.class_names) = (known.len() as u32, known.to_vec());
        Ok(self)
    }
}
