// Where a stream of server-sent events that is forwarded unread can be ended with one of ours:
// behind an empty line, however its lines end.
#pragma once

#include <string_view>

namespace llm {

class RawEvents {
  public:
    // The body is one: not compressed, and of no stated length.
    void begin() { is_stream_ = true; }
    void feed(std::string_view bytes) {
        if (!is_stream_) {
            return;
        }
        for (char c : bytes.substr(bytes.size() - (bytes.size() < 3 ? bytes.size() : 3))) {
            last_[0] = last_[1];
            last_[1] = last_[2];
            last_[2] = c;
        }
    }
    bool can_be_ended() const {
        std::string_view last(last_, sizeof(last_));
        return is_stream_ && (last == "\n\r\n" || last.ends_with("\n\n") || last.ends_with("\r\r"));
    }

  private:
    char last_[3] = {'\n', '\n', '\n'};  // an event may stand at the begin
    bool is_stream_ = false;
};

}  // namespace llm
