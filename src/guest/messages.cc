#include "guest/messages.h"
