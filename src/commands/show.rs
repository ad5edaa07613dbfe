use anyhow::Result;

use super::{LabelSource, Makers, finetune, load_data, pretrain, resolve, start_threads};
use crate::cli::{OutputArgs, PretrainArgs, ShowArgs, ShowWhat, suits};
use crate::error::UsageError;
use crate::say;
use crate::train::{Finetune, FinetuneSettings, Plan, Pretrain, PretrainSettings};

pub fn run(args: &ShowArgs) -> Result<u8> {
    let what = args.what.clone().unwrap_or_else(|| ShowWhat::Pretrain(PretrainArgs::default()));
    match what {
        ShowWhat::Pretrain(args) => {
            let (mut settings, said): (PretrainSettings, _) = resolve("pretrain", args.output.config.as_deref(), &args.settings.given)?;
            said.check_early(&settings, PretrainSettings::check)?;
            refuse_outputs(&args.output)?;
            suits(&args.settings.given["model"], &settings.model, "the encoder")?;
            start_threads(settings.run.threads)?;
            let makers =
                Makers::to_begin_with(settings.init_from.as_deref())?.wanted(&settings, Some(&said), |settings| settings.model.kind)?;
            let data = load_data(&settings.run, LabelSource::needed(settings.method.needs_labels()), makers)?;
            pretrain::suit(&mut settings, &said, &data)?;
            print_plan(&Pretrain::prepare(settings.checked()?, &data, u64::MAX)?.plan);
        }
        ShowWhat::Finetune(args) => {
            let (mut settings, said): (FinetuneSettings, _) = resolve("finetune", args.output.config.as_deref(), &args.settings.given)?;
            said.check_early(&settings, FinetuneSettings::check)?;
            refuse_outputs(&args.output)?;
            start_threads(settings.run.threads)?;
            let pretrained = finetune::load_pretrained(&settings.from, settings.run.size)?;
            let model = pretrained.as_ref().map_or(&settings.model, |checkpoint| &checkpoint.record.model);
            suits(&args.settings.given["model"], model, "the encoder")?;
            pretrained.iter().filter_map(|checkpoint| settings.read_as(&checkpoint.record)).for_each(|note| say!("{note}"));
            let data = finetune::labelled_data(&mut settings, Some(&said), pretrained.as_ref())?;
            said.suit(&mut settings, data.train.kind(), data.subject())?;
            finetune::announce(&settings, &args, data.train.kind(), data.subject())?;
            print_plan(&Finetune::prepare(settings.checked()?, &data, pretrained, u64::MAX)?.plan);
        }
    }
    Ok(0)
}

fn refuse_outputs(output: &OutputArgs) -> Result<(), UsageError> {
    output.unfit_for_show().map_or(Ok(()), |text| Err(UsageError(text)))
}

fn print_plan(plan: &Plan) {
    for program in plan.programs.iter() {
        super::print(format_args!("{} ({} calls)\n{}", program.name, program.calls.len(), program.describe(&plan.arena)));
    }
}
