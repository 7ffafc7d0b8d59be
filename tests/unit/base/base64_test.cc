#include "base/base64.h"

#include <gtest/gtest.h>

namespace trivet {
namespace {

TEST(Base64, PrintingAndParsingAreInverse) {
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(*decode_base64(encode_base64(bytes)), bytes);
    bytes += static_cast<char>(i * 37);
  }
  EXPECT_EQ(encode_base64("foob"), "Zm9vYg==");
  for (const char* wrong : {"Zm9", "Zm9=Zm9v", "Zm9v\n", "Zm9vYh==", "====", "Zm9vY==="}) {
    EXPECT_FALSE(decode_base64(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace trivet
