//! A string per sample, letter by letter: connectionist temporal classification over the steps of lines of writing and of speech.

use anyhow::{Context, Result, ensure};
use rayon::prelude::*;
use serde_json::json;

use super::super::outputs::Outputs;
use super::objective::{Details, EachOutput, Objective, Prediction, Scores};
use super::task::{FinetuneTask, TaskSettings};
use crate::core::buffer::Buf;
use crate::core::tape::Tape;
use crate::data::{Dataset, Truth, TruthKind};
use crate::host::ctc_paths::{best_path, log_probability};
use crate::host::views::Ranges;
use crate::metrics::Recognition;
use crate::models::{self, ModelKind, ModelSettings, Place};
use crate::ops::{Batch, MOST_LETTERS, Value, batch_transcripts, ctc, steps_of};

pub(super) static TASK: Recognise = Recognise;

pub(super) struct Recognise;

impl FinetuneTask for Recognise {
    fn name(&self) -> &'static str {
        "recognise"
    }

    fn help(&self) -> &'static str {
        "What lines of writing and of speech say, letter by letter."
    }

    fn stage(&self) -> &'static str {
        "recogniser"
    }

    fn truth(&self) -> TruthKind {
        TruthKind::Transcripts
    }

    fn settings(&self) -> &'static [&'static str] {
        &[]
    }

    fn measures(&self) -> &'static [&'static str] {
        &["cer", "exact"]
    }

    fn of_steps(&self) -> bool {
        true
    }

    fn default_model(&self) -> ModelKind {
        ModelKind::CRNN
    }

    fn begin(&self, _: &TaskSettings<'_>, data: &Dataset, train: &Truth, outputs: &mut Outputs) -> Result<Box<dyn Objective>> {
        let longest = train.transcripts.as_ref().map_or(0, |transcripts| transcripts.longest());
        ensure!(
            longest <= MOST_LETTERS,
            "{} has a transcript of {longest} letters, {MOST_LETTERS} are the most: cut it into parts",
            data.name
        );
        outputs.class_names = data.class_names.clone();
        Ok(Box::new(Letters { alphabet: data.class_names.clone() }))
    }

    fn recall(&self, outputs: &Outputs) -> Box<dyn Objective> {
        Box::new(Letters { alphabet: outputs.class_names.clone() })
    }
}

struct Letters {
    alphabet: Vec<String>,
}

impl Letters {
    /// With the blank.
    fn classes(&self) -> usize {
        self.alphabet.len() + 1
    }

    /// The logits of each of so many samples.
    fn of_samples<'a>(&self, outputs: &'a [f32], samples: u32) -> impl IndexedParallelIterator<Item = &'a [f32]> {
        outputs.par_chunks((outputs.len() / samples.max(1) as usize).max(1))
    }
}

impl Objective for Letters {
    fn describe(&self) -> String {
        format!("letters of an alphabet of {}", self.alphabet.len())
    }

    fn output(&self, t: &mut Tape<'_>, model: &ModelSettings, places: [Place; 2], x: Value) -> Buf {
        models::recogniser(t, model, places, self.classes() as u32, x)
    }

    fn loss(&self, t: &mut Tape<'_>, batch: Batch, _: Ranges, output: Buf) -> Buf {
        let targets = batch_transcripts(t, batch);
        let steps = steps_of(t, targets.rows(), output.rows() / targets.rows());
        ctc(t, "loss", output, steps, targets)
    }

    /// Targets that need more steps than there are.
    fn note(&self, truth: &Truth, steps: u32) -> Result<Option<String>> {
        let Some(transcripts) = &truth.transcripts else { return Ok(None) };
        let wanted = |sample: u32| {
            let letters: Vec<Option<u32>> = transcripts.letters(sample).collect();
            letters.len() + letters.windows(2).filter(|pair| pair[0] == pair[1]).count()
        };
        let all = transcripts.len();
        let few = (0..all).filter(|&sample| wanted(sample) > steps as usize).count();
        ensure!(few < all as usize, "none of the {all} transcripts fits into the {steps} steps that the network makes of a sample");
        let text = || {
            format!(
                "{few} of {all} training transcripts do not fit into the {steps} steps that the network makes of a sample, which are one for \
                 each letter, and one more between equal ones: nothing is learnt of them"
            )
        };
        Ok((few > 0).then(text))
    }

    /// The best path, with the probability of its letters by all paths.
    fn predictions(&self, outputs: &[f32], samples: u32) -> Vec<Prediction> {
        let of_sample = |logits: &[f32]| {
            let letters = best_path(logits, self.classes());
            let probability = log_probability(logits, self.classes(), &letters).exp();
            Prediction::Text { text: letters.iter().map(|&letter| self.alphabet[letter as usize].as_str()).collect(), probability }
        };
        self.of_samples(outputs, samples).map(of_sample).collect()
    }

    fn judge(&self, outputs: &mut EachOutput<'_>, truth: &Truth, detailed: bool) -> Result<Scores> {
        let transcripts = truth.transcripts.as_ref().context("there are no transcripts to compare with")?;
        let (mut found, mut done) = (Recognition::default(), 0);
        outputs(&mut |samples, logits| {
            ensure!(done + samples <= transcripts.len(), "there are outputs for more samples than have transcripts");
            let said: Vec<Vec<u32>> = self.of_samples(&logits, samples).map(|logits| best_path(logits, self.classes())).collect();
            for (sample, said) in (done..).zip(said) {
                let known: Vec<Option<u32>> = transcripts.letters(sample).collect();
                found.add(&known, &said.into_iter().map(Some).collect::<Vec<_>>());
            }
            done += samples;
            Ok(())
        })?;
        let (rate, exact) = (found.character_error_rate(), found.exact_share()?);
        let percent = |share: f64| format!("{:.2} %", 100.0 * share);
        let rate_text = rate.map_or("no letters".to_string(), |rate| format!("character error rate {}", percent(rate)));
        Ok(Scores {
            score: rate.map(|rate| 1.0 - rate),
            samples: transcripts.len(),
            values: vec![("cer", rate), ("exact", Some(exact))],
            text: format!("{rate_text}, exact {}, {} samples", percent(exact), transcripts.len()),
            details: detailed.then(|| Details { name: "recognition", text: found.to_string(), json: json!(found) }),
        })
    }
}
