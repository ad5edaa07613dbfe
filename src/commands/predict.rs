use anyhow::Result;
use serde_json::json;

use super::{open_device, print, print_json};
use crate::cli::PredictArgs;
use crate::data::{Split, load_picture};
use crate::metrics::best;
use crate::say;
use crate::train::{Checkpoint, find_checkpoint, predict_images};

pub fn run(args: &PredictArgs) -> Result<u8> {
    let checkpoint = Checkpoint::load(&find_checkpoint(&args.run)?)?;
    let image = checkpoint.record.image;
    let mut readable = Vec::new();
    let mut images = Split::unlabelled(Vec::new(), image);
    for file in &args.files {
        match load_picture(file, image, args.invert) {
            Ok(bytes) => {
                images.images.extend(bytes);
                readable.push(file);
            }
            Err(error) => say!("error: {error:#}"),
        }
    }
    let device = open_device(&args.device.device, args.device.threads)?;
    let logits = if readable.is_empty() { Vec::new() } else { predict_images(&device, &checkpoint, &images)? };
    let rows: Vec<_> = readable.iter().zip(logits.chunks(checkpoint.record.classes.max(1) as usize).map(best)).collect();
    if !args.device.json {
        rows.iter().for_each(|(file, (class, probability))| print(format_args!("{}  {class}  {probability:.4}", file.display())));
    }
    print_json(args.device.json, || {
        let rows = rows.iter().map(|(file, (class, probability))| json!({ "file": file, "class": class, "probability": probability }));
        json!({ "predictions": rows.collect::<Vec<_>>() })
    });
    let failed = args.files.len() - readable.len();
    if failed > 0 {
        say!("{failed} of {} pictures could not be read", args.files.len());
    }
    Ok(u8::from(failed > 0))
}
