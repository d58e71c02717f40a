"""Bytes of a BPF object turned into values: ELF, BTF, instructions, and the kept form of a loaded program.

Pure: nothing here reads files, talks to the kernel or knows the time. Every malformed input is ``errors.BadObject``.

- ``elf``        sections and symbols of a relocatable BPF object
- ``programs``   which programs an object holds
- ``maps``       which maps it declares, and its internal data sections
- ``variables``  its global variables, so that one can be set by name
- ``btf``        BTF read into values and written back; several blobs made one
- ``insn``       BPF instructions as values
- ``relocated``  the ``Member``: relocated instructions of a loaded program, maps named by pin path
"""
