use anyhow::Result;
use serde_json::json;

use super::{print, print_json};
use crate::cli::DevicesArgs;
use crate::exec::adapters;

pub fn run(args: &DevicesArgs) -> Result<u8> {
    let adapters = adapters();
    if !args.json {
        for a in &adapters {
            let mib = |bytes: u64| bytes >> 20;
            let kind = if a.software { "software" } else { a.kind.as_str() };
            print(format_args!("{}  {}:{}  ({kind}; {})", a.index, a.backend, a.name, a.driver));
            print(format_args!(
                "   binding {} MiB, buffer {} MiB, workgroup {} invocations and {} KiB, {} storage buffers; f16 {}, subgroups {}, timestamps {}",
                mib(a.max_storage_buffer_binding_size),
                mib(a.max_buffer_size),
                a.max_compute_invocations_per_workgroup,
                a.max_compute_workgroup_storage_size >> 10,
                a.max_storage_buffers_per_shader_stage,
                a.shader_f16,
                a.subgroups,
                a.timestamps
            ));
        }
        print(format_args!("   cpu  ({} threads; needs no driver)", rayon::current_num_threads()));
    }
    print_json(args.json, || json!({ "adapters": adapters, "cpu_threads": rayon::current_num_threads() }));
    Ok(0)
}
