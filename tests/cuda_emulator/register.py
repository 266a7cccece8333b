#!/usr/bin/env python3
"""Appends to a kernel file what enters its kernels into the emulator's table, and closes the file's namespace.

usage: register.py PREPROCESSED OUT

The input comes from `g++ -E` with `__global__` replaced by EMULATED_KERNEL.
"""
import re
import sys

text = open(sys.argv[1]).read()
kernels = re.findall(r'extern\s+"C"\s+EMULATED_KERNEL\s+void\s+(?:__attribute__\s*\(\(.*?\)\)\s*)?(\w+)\s*\(', text)
if text.count("EMULATED_KERNEL") != len(kernels):
    sys.exit(f"{sys.argv[1]}: {text.count('EMULATED_KERNEL')} kernels, but {len(kernels)} of the form "
             'extern "C" __global__ void name(…)')
lines = [f'static emulator::Register register_{name}("{name}", {name});' for name in kernels]
with open(sys.argv[2], "w") as out:
    out.write(text.replace("EMULATED_KERNEL", "") + "\n" + "\n".join(lines) + "\n}\n")
