// The part of ComfyUI's page that web/ uses, written down by hand from what was seen in frontend 1.47.

export interface Widget {
  name: string;
  type?: string;
  value: any;
  options?: Record<string, any>;
  serialize?: boolean;
  advanced?: boolean;
  label?: string;
  y?: number;
  callback?: (this: any, ...args: any[]) => any;
  element?: HTMLElement;
}

export interface Slot {
  name: string;
  type: string | number;
  link?: number | null;
  links?: number[] | null;
}

export interface Link {
  id: number;
  origin_id: number | string;
  origin_slot: number;
  target_id: number | string;
  target_slot: number;
}

export interface Graph {
  id?: string;
  isRootGraph?: boolean;
  nodes: GraphNode[];
  links: Map<number, Link> | Record<number, Link>;
  getNodeById(id: number | string): GraphNode | null;
}

export interface GraphNode {
  id: number | string;
  type: string;
  title?: string;
  mode?: number;
  size: [number, number];
  properties?: Record<string, any>;
  widgets?: Widget[];
  inputs?: Slot[];
  outputs?: Slot[];
  imgs?: HTMLImageElement[];
  hideOutputImages?: boolean;
  onDrawBackground?: () => void;
  onDrawForeground?: (this: GraphNode, context: CanvasRenderingContext2D, canvas?: { low_quality?: boolean }, ...rest: any[]) => void;
  flags?: { collapsed?: boolean };
  isWidgetVisible?(widget: Widget): boolean;
  graph?: Graph;
  subgraph?: Graph;
  comfyClass?: string;
  onConnectionsChange?: (this: any, ...args: any[]) => void;
  onConfigure?: (this: any, ...args: any[]) => void;
  onAdded?: (this: any, ...args: any[]) => void;
  onRemoved?: (this: any, ...args: any[]) => void;
  showAdvanced?: boolean;
  toggleAdvanced?(): void;
  addWidget?(type: string, name: string, value: unknown, callback: () => void, options: Record<string, any>): Widget;
  onSerialize?: (this: GraphNode, saved: { widgets_values?: any[] }) => void;
  onExecuted?: (this: any, output: Record<string, any[]> | undefined, ...rest: any[]) => void;
  isInputConnected?(slot: number): boolean;
  getInputLink?(slot: number): Link | null;
  getOutputNodes?(slot: number): GraphNode[] | null;
  disconnectInput(slot: number): boolean;
  onResize?: (this: any, size: [number, number]) => void;
  addDOMWidget(name: string, type: string, element: HTMLElement, options: Record<string, any>): Widget & { element: HTMLElement };
  setSize(size: [number, number]): void;
  computeSize(): [number, number];
  setDirtyCanvas?(front: boolean, back: boolean): void;
}

interface Tracker {
  captureCanvasState?(): void;
  checkState?(): void;
  undo?(): Promise<void>;
  redo?(): Promise<void>;
  _restoringState?: boolean;
}

export interface Api extends EventTarget {
  addEventListener(type: string, listener: (event: CustomEvent<any>) => void, options?: any): void;
  removeEventListener(type: string, listener: (event: CustomEvent<any>) => void, options?: any): void;
  apiURL(path: string): string;
  fetchApi(path: string, options?: RequestInit): Promise<Response>;
  getWorkflowTemplates?(...args: any[]): Promise<Record<string, string[]>>;
}

export interface Extension {
  name: string;
  init?(): void | Promise<void>;
  setup?(): void;
  nodeCreated?(node: GraphNode): void;
  afterConfigureGraph?(): void;
  beforeRegisterNodeDef?(type: unknown, data: { name: string; input?: Record<string, Record<string, any>> }): void;
  getCustomWidgets?(): Record<string, (node: GraphNode, name: string) => { widget: Widget; minWidth?: number; minHeight?: number }>;
}

declare global {
  interface Window {
    LiteGraph?: { WIDGET_SECONDARY_TEXT_COLOR?: string; NODE_FONT?: string };
  }
}

export interface App {
  queuePrompt?(number: number, batch?: number): Promise<unknown>;
  graph: Graph;
  rootGraph?: Graph;
  canvas: {
    processMouseWheel?(event: Event): void;
    processMouseDown?(event: Event): void;
    processMouseMove?(event: Event): void;
    processMouseUp?(event: Event): void;
  };
  api: Api;
  nodeOutputs?: Record<string, { images?: Record<string, string>[], [key: string]: any }>;
  extensionManager?: { setting?: { get?(id: string): unknown }, workflow?: { activeWorkflow?: { changeTracker?: Tracker } } };
  registerExtension(extension: Extension): void;
}
