#include "vmm/confine.h"

namespace trivet::vmm {

Result<> confine_supervisor() {
  return {};
}

}  // namespace trivet::vmm
