"""Joins recordings of single digits (fsdd) to sequences: join.py FSDD OUT TRAIN TEST SEED [SPEAKER_HELD_OUT]
Each sequence is 3 to 7 digits by one speaker, each of another recording, with 0 to 150 ms of silence between them.
Training sequences are of training recordings alone (takes 5 to 24), test sequences of test recordings (takes 0 to 4).
With SPEAKER: training recordings only; 'test' are sequences by that speaker, training by the others."""
import csv, os, random, sys, wave
src, out, ntrain, ntest, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
held = sys.argv[6] if len(sys.argv) > 6 else None
rows = list(csv.DictReader(open(os.path.join(src, 'index.csv'))))
by = {'train': {}, 'test': {}}
for r in rows:
    if held:
        if r['split'] != 'train': continue
        part = 'test' if r['speaker'] == held else 'train'
    else:
        part = r['split']
    by[part].setdefault(r['speaker'], {}).setdefault(r['label'], []).append(r['file'])
def samples(f):
    with wave.open(os.path.join(src, f)) as w:
        assert w.getframerate() == 8000 and w.getnchannels() == 1 and w.getsampwidth() == 2
        return w.readframes(w.getnframes())
rng = random.Random(seed)
os.makedirs(out, exist_ok=True)
index = [('file', 'text', 'split')]
for part, n in (('train', ntrain), ('test', ntest)):
    os.makedirs(os.path.join(out, part), exist_ok=True)
    for i in range(n):
        speaker = rng.choice(sorted(by[part]))
        digits = [rng.choice('0123456789') for _ in range(rng.randint(3, 7))]
        used, data = set(), b''
        for d in digits:
            pool = [f for f in by[part][speaker][d] if f not in used] or by[part][speaker][d]
            f = rng.choice(pool); used.add(f)
            if data: data += b'\0\0' * int(rng.uniform(0, 0.15) * 8000)
            data += samples(f)
        name = f'{part}/{speaker}_{part}_{i:05}.wav'
        with wave.open(os.path.join(out, name), 'w') as w:
            w.setnchannels(1); w.setsampwidth(2); w.setframerate(8000); w.writeframes(data)
        index.append((name, ''.join(digits), part))
csv.writer(open(os.path.join(out, 'index.csv'), 'w'), lineterminator='\n').writerows(index)
