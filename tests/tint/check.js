// node check.js FOLDER: puts each .wgsl file of a folder through Tint, the shader compiler of Chrome, as a module and as a
// compute pipeline. Dawn's null back end stands for a GPU, so no driver is needed. Exit code 1 if anything is refused.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { create, globals } from 'webgpu';

Object.assign(globalThis, globals);
const folder = process.argv[2];
const files = readdirSync(folder).filter((name) => name.endsWith('.wgsl')).sort();
// Devices do not keep it alive: collected, it takes the process with it.
globalThis.gpu = create(['backend=null']);
const adapter = await gpu.requestAdapter();
const device = await adapter.requestDevice();

async function refusal(code) {
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ code });
  const { messages } = await module.getCompilationInfo();
  const error = await device.popErrorScope();
  if (error) {
    const errors = messages.filter((message) => message.type === 'error');
    return errors.map(({ lineNum, linePos, message }) => `${lineNum}:${linePos} ${message}`).join('; ') || error.message;
  }
  device.pushErrorScope('validation');
  device.createComputePipeline({ layout: 'auto', compute: { module } });
  return (await device.popErrorScope())?.message;
}

let refused = 0;
for (const name of files) {
  const why = await refusal(readFileSync(join(folder, name), 'utf8'));
  if (why) {
    refused += 1;
    console.error(`${name}: ${why}`);
  }
}
console.log(`${files.length} shader texts, ${refused} refused by Tint`);
process.exit(refused || !files.length ? 1 : 0);
