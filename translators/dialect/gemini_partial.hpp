// Arguments of a call that come as values at JSONPaths, strings in pieces (Vertex AI with
// streamFunctionCallArguments), put together to one object.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "translators/json/reader.hpp"
#include "translators/json/writer.hpp"

namespace llm::gemini {

class PartialArguments {
  public:
    void clear();
    // One element of partialArgs[]. False when its path cannot be understood or a limit is passed.
    bool apply(json::Value piece, Arena &arena);
    // The object so far.
    void write(ByteBuffer &out) const;
    size_t memory() const { return bytes_; }

  private:
    struct Node {
        enum class Is : uint8_t { unset, value, text, object, array };
        Is is = Is::unset;
        std::string name;   // in an object, escaped
        std::string value;  // raw JSON, or an escaped text
        std::vector<std::unique_ptr<Node>> children;
    };

    Node *child_of(Node &parent, std::string_view name);
    Node *element_of(Node &parent, size_t index);
    Node *node_at(std::string_view path, Arena &arena);
    bool take(size_t bytes);
    static void write(const Node &node, ByteBuffer &out);

    Node root_;
    size_t bytes_ = 0;
};

}  // namespace llm::gemini
