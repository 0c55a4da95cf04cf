// Reads what the gateway sends, as a strict client would: whole bodies and streams of each
// dialect, with every violation of the dialect's grammar noted.
#pragma once

#include <string_view>

#include "t/check/answer.hpp"

namespace llm::check {

struct StreamExpectation {
    bool usage_chunk = true;  // chat: the client asked for usage
};

Answer read_chat_stream(std::string_view bytes, const StreamExpectation &expected,
                        Problems &problems);
Answer read_messages_stream(std::string_view bytes, Problems &problems);
Answer read_chat_body(std::string_view bytes, Problems &problems);
Answer read_messages_body(std::string_view bytes, Problems &problems);

Answer read_stream(DialectId dialect, std::string_view bytes, Problems &problems);
Answer read_body(DialectId dialect, std::string_view bytes, Problems &problems);

// One event of an encoder's output: `event: NAME` (perhaps), one `data:` line, a blank line. Our
// own frames are as narrow as that, although the standard allows more.
struct Frame {
    std::string_view name;
    std::string_view data;
    bool is_comment = false;
};
std::vector<Frame> split_frames(std::string_view bytes, Problems &problems);

// Shared by the readers of bodies and streams.
Usage chat_usage(json::Value usage);
Usage messages_usage(json::Value usage, Usage before, Problems &problems);
void check_messages_call_id(std::string_view id, Problems &problems);

}  // namespace llm::check
