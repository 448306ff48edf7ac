#pragma once
#include <memory>
#include <string>
#include <vector>

#include "train/classification/classifier.h"
#include "train/data/image/image_cache.h"
#include "train/data/image_folder.h"
#include "train/data/sampler.h"
#include "train/loop/checkpoint.h"
#include "train/loop/task.h"
#include "train/parallel/data_parallel.h"

namespace fovea {

// Trains a classifier of whole images: classification_recipe() on a data set.
class ClassificationTask : public Task {
 public:
  ClassificationTask(const TrainConfig& config, ClassificationDataset train, ClassificationDataset validation,
                     ProcessGroup& group = single_process());

  // See Task.
  int64_t training_images() const override { return int64_t(train_.images.size()); }
  Batch make_batch(int64_t index) override;
  NamedValues evaluate() override;  // validation/top1, validation/top5, validation/loss

  std::string name() const override { return train_.name; }
  std::string description() const override;
  std::vector<std::string> warnings() const override;
  std::vector<std::string> files() const override;
  TaskResult finish(const std::string& folder) override;

 private:
  ClassificationTask(const TrainConfig& config, Classifier classifier, ClassificationDataset&& train,
                     ClassificationDataset&& validation, ProcessGroup& group);

  TrainConfig config_;
  ProcessGroup& group_;
  BatchShare share_;
  ClassificationDataset train_, validation_;
  std::vector<double> class_weights_;
  Classifier classifier_;
  Sampler sampler_;
  ImageCache train_images_, validation_images_;
};

// Opens the images that state.config names, resolves the configuration and fills in the classes. The data are
// in folders train/<class>/ and val/<class>/ (the names of the splits). If there is only <class>/, every
// fifth image of a class is held out for validation.
std::unique_ptr<Task> make_classification_task(TrainingState& state, ProcessGroup& group);

// The images of one split: folder/<split>/<class>/, or, if there is only folder/<class>/ and the split is
// "val", those that a training holds out. Labels follow `class_names`, the classes of a model. Throws Error
// if there is no such folder, and as read_image_folder does.
ClassificationDataset open_classification_split(const std::string& folder, const std::string& split,
                                                const std::vector<std::string>& class_names);

}  // namespace fovea
