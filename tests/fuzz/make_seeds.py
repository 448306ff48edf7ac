"""Writes tests/fuzz/seeds: for each harness a few small files with every field that its parser reads. Needs only Python.

The fuzzer starts from them, and every test run gives them to the parsers whole, cut and damaged (run_files.cpp). Images of more
kinds are in tests/golden/images.
"""
import json
import pathlib
import struct
import zlib

here = pathlib.Path(__file__).parent


def seed(harness, name, content):
    file = here / "seeds" / harness / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)


# Images.
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def exif(orientation, order):
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    start = b"II*\0" if order == "<" else b"MM\0*"
    return start + struct.pack(order + "I", 8) + struct.pack(order + "H", 1) + entry + struct.pack(order + "I", 0)


def png(width, height, bits, colour, rows, extra=b"", interlaced=0):
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def rows(count, size, filters):
    return b"".join(bytes([filters[y % len(filters)]]) + bytes((x * 7 + y * 31) % 256 for x in range(size)) for y in range(count))


seed("image", "rgb.png", png(9, 7, 8, 2, rows(7, 27, [0, 1, 2, 3, 4]), chunk(b"eXIf", exif(6, ">"))))
seed("image", "grey16.png", png(5, 4, 16, 0, rows(4, 10, [4])))
seed("image", "alpha.png", png(4, 4, 8, 6, rows(4, 16, [3])))
seed("image", "interlaced.png", png(8, 8, 8, 0, rows(15, 8, [0])[:88], interlaced=1))
palette = chunk(b"PLTE", bytes(range(12))) + chunk(b"tRNS", b"\0\x80")
seed("image", "palette2.png", png(10, 3, 2, 3, rows(3, 3, [0]), palette))
jpeg = (here.parent / "golden/images/grey.jpg").read_bytes()
block = b"Exif\0\0" + exif(5, "<")
seed("image", "exif.jpg", jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:])
bmp = struct.pack("<2sIHHIIiiHHIIIIII", b"BM", 0, 0, 0, 54, 40, 5, -4, 1, 24, 0, 0, 0, 0, 0, 0)
seed("image", "upside_down.bmp", bmp + bytes(range(64)))
masks = struct.pack("<2sIHHIIiiHHIIIIII", b"BM", 0, 0, 0, 66, 40, 3, 2, 1, 16, 3, 0, 0, 0, 0, 0)
seed("image", "bit_fields.bmp", masks + struct.pack("<III", 0xF800, 0x7E0, 0x1F) + bytes(range(16)))
seed("idx", "images", b"\0\0\x08\3" + struct.pack(">III", 2, 3, 4) + bytes(range(24)))

# Annotations.
coco = {
    "images": [{"id": 1, "file_name": "1.png", "width": 40, "height": 30}, {"id": -7, "file_name": "b/2.png", "width": 4, "height": 3}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 2.5, 10, 1e1], "area": 100, "iscrowd": 0},
        {"id": 2, "image_id": 1, "category_id": 9, "bbox": [-5, 0, 60, 3], "iscrowd": True},
        {"id": 3, "image_id": 5, "category_id": 9, "bbox": [0, 0, 0, -3]},
    ],
    "categories": [{"id": 3, "name": "cat"}, {"id": 9, "name": "d\u00f6g"}],
}
seed("coco", "two_images.json", json.dumps(coco))
seed("coco", "faults.json", json.dumps({**coco, "categories": [{"id": "x"}, {"id": 1, "name": "cat"}, {"id": 1, "name": ""}], "images": [3]}))
box = "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"
voc = """<?xml version="1.0"?><!-- c --><annotation><folder>f</folder><filename>1.png</filename><path>/a/1.png</path>
<size><width>40</width><height>30</height><depth>3</depth></size>
<object><name> cat </name><difficult>1</difficult>{}</object><object><name><![CDATA[dog]]></name>{}</object>
<object><name>&lt;&#65;</name>{}</object></annotation>
"""
seed("voc", "three_objects.xml", voc.format(box.format(1, 2, 30, 20), box.format(-1.5, "1e1", 50, 20), box.format(9, 9, 9, "nan")))
seed("voc", "no_size.xml", "<annotation><object><name>cat</name>" + box.format(1, 1, 2, 2) + "</object></annotation>")
seed("yolo_labels", "boxes.txt", "0 0.5 0.5 0.25 0.5\n1\t.1 1e-1 0.1 0.1 \r\n\n1 0.1 0.1 0.9 0.1 0.9 0.9\n")
seed("yolo_labels", "faults.txt", "2 0.5 0.5 0.25 0.5\n0 0.5 0.5 0 nan\n0 2 2 0.1 0.1\n1.5 1 1 1 1\n0 1 1 1 1 1\n0 inf -1 -1 x\n")
seed("yolo_layout", "map.yaml", "# c\npath: ../data\ntrain: [images/train, b]\nval: images/val\ntest:\nnc: 2\nnames: {0: cat, 1: 'dog'}\n")
seed("yolo_layout", "list.yaml", "names:\n  - &a cat\n  - \"d\\u00f6g\"\nvalid: *a\ndownload: |\n  text\n  more\n? !!str x\n: >-\n  y\n")
seed("list", "names.txt", "1\n\n 2 \r\ncat\nimages/1.png\n/elsewhere/images/1.png\n1\n")
seed("results", "two.json", json.dumps([
    {"image_id": 1, "category_id": 1, "bbox": [1, 2, 10, 10.5], "score": 0.9},
    {"image_id": 42, "category_id": 18, "bbox": [0, -1e-3, 3, 4], "score": 1, "more": {"a": [None, True]}}]))
seed("box_folder", "boxes.txt", "cat 1 2 10 10\n\ndog 0.5 1 2.5 30 4\n")
seed("metrics", "metrics.csv", "step,epoch,seconds,name,value\n20,0.5,3.25,train/loss,1.5\n40,1,6,train/loss,inf\n40,1,6,train/learning_rate,1e-3\n"
     "40,1,6.5,validation/AP,0.25\n40,1,6.5,validation/loss,nan\n")

# Weights.
def safetensors(metadata, tensors):
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


tensors = {"model.weight": ("F32", [2, 3], bytes(range(24))), "ema.x": ("F64", [], bytes(8)), "h": ("F16", [3], b"\0\x7c\1\0\xff\xff"),
           "b": ("BF16", [1, 1, 1], b"\x80\x3f"), "i": ("I32", [0, 5], b""), "u": ("U8", [3], b"abc"), "f": ("F8_E4M3", [1], b"x")}
seed("safetensors", "dtypes.safetensors", safetensors({"format": "pt"}, tensors))
seed("safetensors", "empty.safetensors", safetensors({}, {}))
in_files = {"x": "a.safetensors", "y": "a.safetensors", "z": "b.safetensors"}
seed("safetensors_index", "two.json", json.dumps({"metadata": {"total_size": 20}, "weight_map": in_files}, indent=2))
seed("safetensors_index", "elsewhere.json", json.dumps({"weight_map": {**in_files, "z": "../b.safetensors"}}))


def checksum(tensors):  # as in train/loop/checkpoint.cpp
    value = 14695981039346656037
    for _, _, content in tensors.values():
        for at in range(0, len(content), 8):
            word = int.from_bytes(content[at:at + 8].ljust(8, b"\0"), "little")
            value = (value ^ word) * 1099511628211 % 2**64
    return str(value)


some = {key: tensors[key] for key in ("model.weight", "ema.x")}
config = {"task": "detection", "model": "efficientdet_d-3", "data": "shapes", "image_size": "64x80", "aspect_ratios": "1,1.4x0.7", "epochs": 2.5,
          "batch_size": 4, "horizontal_flip": False, "weight_decay": -1, "freeze": "backbone,batch-norm", "init_from": "a", "precision": "auto"}
state = {"fovea_checkpoint": "1", "config": json.dumps(config), "class_names": '["cat","dog"]', "category_ids": "[1,18]", "step": "120",
         "best": "0.25", "checksum": checksum(some)}
seed("checkpoint", "whole.safetensors", safetensors(state, some))
seed("checkpoint", "smallest.safetensors", safetensors({**state, "config": "{}", "checksum": checksum({})}, {}))
seed("config", "some.json", json.dumps(config))
seed("config", "unknown.json", '{"epoch": 3, "seed": -1, "clip_norm": 1e3, "task": null}')
