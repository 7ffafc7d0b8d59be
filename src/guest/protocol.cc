#include "guest/protocol.h"
