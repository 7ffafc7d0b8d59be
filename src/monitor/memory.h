// Inside of module monitor: staying small.
#pragma once

namespace trivet::monitor {

// Returns what the start has used and the loop does not need: free heap pages, and the mapped pages
// of the program's own code and constants. Those come back from the page cache when they are needed
// again, a few microseconds each. Call it when the rush is over.
void give_memory_back();

}  // namespace trivet::monitor
