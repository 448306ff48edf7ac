#pragma once
// Include this header once, in NN_name.check.cpp: it defines main().
#include "steps.h"

int main(int argc, char** argv) { return fovea::learn::run_steps(argc, argv); }
