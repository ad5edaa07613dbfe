use anyhow::Result;

use super::{load_data, resolve, start_threads};
use crate::cli::{PretrainArgs, ShowArgs, ShowWhat};
use crate::error::UsageError;
use crate::train::{Finetune, FinetuneSettings, Plan, Pretrain, PretrainSettings};

pub fn run(args: &ShowArgs) -> Result<u8> {
    let what = args.what.clone().unwrap_or_else(|| ShowWhat::Pretrain(PretrainArgs::default()));
    match what {
        ShowWhat::Pretrain(args) => {
            let mut settings: PretrainSettings = resolve("pretrain", args.output.config.as_deref(), args.settings()?)?;
            refuse_problem(settings.problem().or_else(|| args.output.unfit_for_show()))?;
            args.encoder.model.suits(&settings.model, "the encoder")?;
            start_threads(settings.run.threads)?;
            let data = load_data(&settings.run, settings.method.needs_labels())?;
            super::pretrain::suit(&mut settings, args.chooses_augmentation(), &data);
            print_plan(&Pretrain::prepare(settings, &data, u64::MAX)?.plan);
        }
        ShowWhat::Finetune(args) => {
            let settings: FinetuneSettings = resolve("finetune", args.output.config.as_deref(), args.settings())?;
            let mut settings = super::finetune::suited(settings, &args)?;
            refuse_problem(settings.problem().or_else(|| args.output.unfit_for_show()))?;
            start_threads(settings.run.threads)?;
            let pretrained = super::finetune::load_pretrained(&settings.from)?;
            let model = pretrained.as_ref().map_or(&settings.model, |checkpoint| &checkpoint.record.model);
            args.encoder.model.suits(model, "the encoder")?;
            pretrained.iter().for_each(|checkpoint| settings.run.read_as(&checkpoint.record));
            let data = super::finetune::labelled_data(&settings)?;
            print_plan(&Finetune::prepare(settings, &data, pretrained, u64::MAX)?.plan);
        }
    }
    Ok(0)
}

fn refuse_problem(problem: Option<String>) -> Result<(), UsageError> {
    problem.map_or(Ok(()), |problem| Err(UsageError(problem)))
}

fn print_plan(plan: &Plan) {
    for program in plan.programs.iter() {
        super::print(format_args!("{} ({} calls)\n{}", program.name, program.calls.len(), program.describe(&plan.arena)));
    }
}
