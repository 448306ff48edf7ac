// Lists of images and of classes: ImageSets/Main/<split>.txt of Pascal VOC, <split>.txt and classes.txt of
// YOLO.
#include "tests/fuzz/harness.h"
#include "train/data/image/image_io.h"
#include "train/data/voc.h"
#include "train/data/yolo.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fovea;
  static const FileFolder voc, yolo;
  static const bool prepared = [] {
    voc.write("JPEGImages/1.png", encode_png(Image(40, 30)));
    voc.write("Annotations/1.xml",
              "<annotation><size><width>40</width><height>30</height></size><object><name>cat</name><bndbox>"
              "<xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object></annotation>");
    yolo.write("images/1.png", encode_png(Image(40, 30)));
    yolo.write("labels/1.txt", "0 0.5 0.5 0.2 0.2\n");
    return true;
  }();
  expect(prepared);
  // As one of the three files each time, for speed.
  if (size % 3 == 0) {
    voc.write("list.txt", data, size);
    ReadLog log;
    result_or_error([&] { read_voc(voc.path(), {voc / "list.txt"}, {}, &log); });
    for (const Problem& fault : log.faults) expect(!fault.text.empty());
    return 0;
  }
  if (size % 3 == 1) {
    yolo.write("classes.txt", data, size);
    yolo.write("train.txt", "images/1.png\n");
  } else {
    yolo.write("classes.txt", "cat\n");
    yolo.write("train.txt", data, size);
  }
  result_or_error([] { read_yolo(yolo.path(), yolo_splits(yolo.path())); });
  return 0;
}
