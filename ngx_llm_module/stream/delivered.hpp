// How much text an event of a stream carries, for estimates when a stream breaks before its usage
// came.
#pragma once

#include <cstdint>
#include <string_view>

namespace llm {

// Adds up what the events of a stream carry. Only some of them are looked at, which is exact enough
// for an estimate and costs nearly nothing.
class DeliveredText {
  public:
    void add(std::string_view event_data);
    uint64_t bytes() const { return bytes_; }

  private:
    uint64_t bytes_ = 0;
    uint32_t count_ = 0;
};

// Length of the strings that hold content in one event of any dialect, as they are written.
uint64_t content_length(std::string_view event_data);

}  // namespace llm
