//! Classes are what they are called: other data's labels, numbered as a run numbers its own.

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};

use super::names::{find_name, some_of};
use super::{Dataset, SharedRows, Split, Tags, WRONG};

impl Dataset {
    /// Takes samples of the class `name` out of the others, to which they do not belong; whatever else is known of them is that they
    /// do not. Data without that class stay as they are. Fails where no training samples remain.
    pub fn apart(mut self, name: &str) -> Result<Dataset> {
        let Some(out) = find_name(&self.class_names, name).map(|class| class as u32).filter(|_| self.train.truth.labels.is_some()) else {
            return Ok(self);
        };
        let divided = |split: &Split| {
            let labels = split.truth.labels.as_deref().unwrap_or_default();
            let of = |is_out: bool| (0..labels.len() as u32).filter(|&i| (labels[i as usize] == out) == is_out).collect::<Vec<_>>();
            let (mut inside, outside) = (split.select(&of(false)), split.select(&of(true)).bare());
            inside.truth.labels.iter_mut().flatten().for_each(|label| *label -= u32::from(*label > out));
            (inside, Some(outside).filter(|outside| !outside.is_empty()))
        };
        let (train, of_train) = divided(&self.train);
        ensure!(!train.is_empty(), "{}: all training samples are of the class `{name}`", self.name);
        self.train = train;
        let mut of_test = None;
        if let Some(test) = self.test.take_if(|test| test.truth.labels.is_some()) {
            let (inside, outside) = divided(&test);
            (self.test, of_test) = (Some(inside).filter(|inside| !inside.is_empty()), outside);
        }
        let counts = [&of_train, &of_test].map(|split| split.as_ref().map_or(0, Split::len));
        self.classes -= 1;
        let name = self.class_names.remove(out as usize);
        self.notes.push(format!(
            "`{name}`: {} training and {} test samples belong to none of the other {} classes",
            counts[0], counts[1], self.classes
        ));
        self.out_of_scope = [of_train, of_test];
        Ok(self)
    }

    /// Labels numbered as in `known`, by the names of classes; notes which of those are absent. Fails where classes are not known.
    pub fn with_classes(mut self, known: &[String]) -> Result<Dataset> {
        if self.train.truth.transcripts.is_some() {
            // Their letters are numbered as those of the run where they are read.
            ensure!(self.class_names == known, "{} has another alphabet than the run", self.name);
            return Ok(self);
        }
        let truths = || [Some(&self.train), self.test.as_ref()].into_iter().flatten().map(|part| &part.truth);
        let labels = truths().filter_map(|truth| truth.labels.as_ref()).flatten().copied();
        // All classes of sets are used, though it be by saying that they are wrong.
        let of_sets = truths().filter(|truth| truth.label_sets.is_some()).flat_map(|_| 0..self.classes);
        let used: BTreeSet<u32> =
            labels.chain(of_sets).chain(truths().filter_map(|truth| truth.tags.as_ref()).flat_map(Tags::classes)).collect();
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
            // Of a set, what the data do not name is not right.
            let renumbered = |sets: SharedRows<u8>| {
                let said = |set: &[u8]| {
                    (0..known.len() as u32)
                        .map(|class| found.iter().position(|&at| at == Some(class)).map_or(WRONG, |at| set[at]))
                        .collect::<Vec<_>>()
                };
                SharedRows::new(sets.iter().flat_map(said).collect(), known.len() as u32)
            };
            part.truth.label_sets = part.truth.label_sets.take().map(renumbered);
        }
        (self.classes, self.class_names) = (known.len() as u32, known.to_vec());
        Ok(self)
    }
}
