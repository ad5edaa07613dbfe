use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{load_data, open_device, print_json, resolve_resumed};
use crate::cli::EvalArgs;
use crate::metrics::accuracy_and_loss;
use crate::say;
use crate::train::{Checkpoint, FinetuneSettings, find_checkpoint, predict_images};

pub fn run(args: &EvalArgs) -> Result<u8> {
    let checkpoint = Checkpoint::load(&find_checkpoint(&args.run)?)?;
    // A run folder knows its data; a lone file is taken to be of the embedded ones.
    let own = resolve_resumed::<FinetuneSettings>("finetune", &args.run, serde_json::Value::Null).ok();
    let mut run = own.unwrap_or_default().run;
    args.data.lay_over(&mut run);
    run.read_as(checkpoint.record.image);
    let data = load_data(&run, true)?;
    let test = data.test.as_ref().with_context(|| format!("{} has no test images", data.name))?;
    let labels = test.labels.as_ref().with_context(|| format!("the test images of {} have no labels", data.name))?;
    let (ours, theirs) = (test.image, checkpoint.record.image);
    ensure!(ours == theirs, "the checkpoint is for images of {theirs}, {} has {ours}", data.name);
    ensure!(
        labels.iter().all(|&label| label < checkpoint.record.classes),
        "{} has {} classes, the checkpoint {}",
        data.name,
        data.classes,
        checkpoint.record.classes
    );
    let device = open_device(&args.device.device, args.device.threads)?;
    let logits = predict_images(&device, &checkpoint, test)?;
    let (accuracy, loss) = accuracy_and_loss(&logits, checkpoint.record.classes as usize, labels);
    say!("test: accuracy {:.2} %, loss {loss:.4}, {} images", 100.0 * accuracy, labels.len());
    print_json(
        args.device.json,
        || json!({ "run": args.run, "test_accuracy": accuracy, "test_loss": loss, "samples": labels.len(), "device": device.name() }),
    );
    Ok(0)
}
