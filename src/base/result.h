// The Result type is part of the public API; this is its name inside the project.
#pragma once

#include "trivet/result.h"
