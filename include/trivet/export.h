// Marks what libtrivet.so exports; everything else in it is hidden.
#pragma once

// On each class and function of the public headers that is defined in the library.
#define TRIVET_API [[gnu::visibility("default")]]
